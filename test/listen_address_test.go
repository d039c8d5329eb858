package test

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// An answer leaves from the address that was asked, even if another address of the
// interface is what the kernel would choose.
func TestAnswersFromTheAddressAsked(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	client := newNeighbour(t)
	addresses := []string{"10.9.1.1", "10.9.1.2", "10.9.1.3", "fd00:9:1::1", "fd00:9:1::2"}
	for _, a := range addresses {
		addAddress(t, "wire", a+map[bool]string{true: "/64", false: "/24"}[strings.Contains(a, ":")])
	}
	client.add(t, "10.9.1.100/24")
	client.add(t, "fd00:9:1::100/64")
	u := scripted(t, always(trueAddress))
	startWild(t, "127.0.0.1", to("--dns-upstreams", u), to("--consul-dns", u))
	lab.Eventually(t, patience, "every address to be listened on", func() bool { return serving("::1") })
	for _, a := range addresses {
		network, from := "udp4", "10.9.1.100"
		if strings.Contains(a, ":") {
			network, from = "udp6", "fd00:9:1::100"
		}
		var conn *net.UDPConn
		var err error
		client.do(func() { conn, err = net.ListenUDP(network, &net.UDPAddr{IP: net.ParseIP(from)}) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		// Forwarded, answered here, refused: every answer has to leave from there.
		for _, query := range []*dns.Msg{ednsQuery("www.example.org", dns.TypeA), ednsQuery("web.service.consul", dns.TypeA), ednsQuery("node-7", dns.TypeA), ednsQuery("x.invalid", dns.TypeA)} {
			if _, err := conn.WriteToUDPAddrPort(pack(t, query), port53(a)); err != nil {
				t.Fatal(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			buf := make([]byte, 4096)
			n, source, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				t.Fatalf("%s does not answer %s: %v", a, query.Question[0].Name, err)
			}
			if source != port53(a) || unpack(t, buf[:n]).Id != query.Id {
				t.Errorf("asked %s, the answer came from %s", port53(a), source)
			}
		}
		reply, err := exchangeOver(client.dial(t, "tcp", from, port53(a)), ednsQuery("node-7", dns.TypeA))
		if err == nil {
			err = hasAddress(reply, "10.0.0.5")
		}
		if err != nil {
			t.Errorf("%s over TCP: %v", a, err)
		}
	}
}

// exchangeOver asks over a connection that is there.
func exchangeOver(conn net.Conn, query *dns.Msg) (*dns.Msg, error) {
	c := &dns.Conn{Conn: conn, UDPSize: dns.MaxMsgSize}
	_ = c.SetDeadline(time.Now().Add(patience))
	if err := c.WriteMsg(query); err != nil {
		return nil, err
	}
	return c.ReadMsg()
}

// An address that is not there yet does not keep the server from starting; it is
// served once it comes, and again when it went away and comes back.
func TestAddressThatComesLater(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	d := startWild(t, "127.0.0.1", "--dns-listen=127.0.0.1,10.9.0.77,fd00:9::77")
	for _, address := range []string{"10.9.0.77:53", "[fd00:9::77]:53"} {
		lab.Eventually(t, patience, "the log to say that "+address+" is left out", func() bool { return strings.Contains(d.Stderr(), address) })
	}
	for range 2 {
		for _, address := range []string{"10.9.0.77/24", "fd00:9::77/64"} {
			addAddress(t, "net0", address)
			plain, _, _ := strings.Cut(address, "/")
			lab.Eventually(t, patience, plain+" to be served", func() bool { return serving(plain) })
			serves(t, plain)
			removeAddress(t, "net0", address)
		}
		serves(t, "127.0.0.1")
	}
}

// Without the right to use a port below 1024 the error says which capability that is.
func TestPortWithoutTheRight(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	cmd := exec.Command("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service", panterasPath(t), "dns", "--metrics-listen=off")
	cmd.Env, cmd.Dir = dnsdEnv, t.TempDir()
	p := lab.Start(t, cmd)
	if code := p.Wait(t, patience); code != 1 || !strings.Contains(p.Stderr(), "CAP_NET_BIND_SERVICE") || !strings.Contains(p.Stderr(), ":53") {
		t.Errorf("exit code %d, want 1, output:\n%s", code, p.Stderr())
	}
}

// A server that is our own socket is refused, in whichever setting it stands;
// another port of the same address is somebody else.
func TestOwnSocketIsNoUpstream(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--dns-upstreams", "--consul-dns", "--dns-routes=corp.example"} {
		for _, listen := range []string{"127.0.0.1", "0.0.0.0"} {
			addr := loopback4(t)
			listenOn := fmt.Sprintf("--dns-listen=%s:%d", listen, addr.Port())
			args := []string{"dns", "--metrics-listen=off", listenOn, flag + "=" + addr.String()}
			if flag != "--consul-dns" {
				args = append(args, "--consul-dns="+unusedServer(t).String())
			}
			p := lab.Panteras(t, lab.PanterasOptions{Args: args, Env: dnsdEnv})
			if code := p.Wait(t, patience); code != 2 {
				t.Errorf("%v: exit code %d, want 2", args, code)
			}
			setting := strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(strings.Split(flag, "=")[0], "--"), "-", "_"))
			if !strings.Contains(p.Stderr(), addr.String()) || !strings.Contains(p.Stderr(), setting) {
				t.Errorf("%v: the error names neither address nor setting:\n%s", args, p.Stderr())
			}
		}
		d := startDNSD(t, flag+"="+unusedServer(t).String())
		wantAddress(t, d.ask(t, "udp", ednsQuery("node-7", dns.TypeA)), "10.0.0.5")
	}
}

// A wildcard address of one family leaves the other one alone.
func TestOneFamily(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	startWild(t, "127.0.0.1", "--dns-listen=0.0.0.0")
	if _, err := net.DialTimeout("tcp", "[::1]:53", patience); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("want [::1]:53 refused, got: %v", err)
	}
}
