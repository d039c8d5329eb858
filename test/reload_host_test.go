package test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// recursorOn serves on port 53 of an address in the test's own network namespace,
// where resolv.conf expects its servers: each A record is the address given.
func recursorOn(t testing.TB, address, answer string) {
	t.Helper()
	udp, tcp := hold(t, port53(address))
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			rr, _ := dns.NewRR(fmt.Sprintf("%s 0 IN A %s", q.Question[0].Name, answer))
			reply.Answer = []dns.RR{rr}
		}
		_ = w.WriteMsg(reply)
	})
	for _, server := range []*dns.Server{{PacketConn: udp, Handler: handler}, {Listener: tcp, Handler: handler}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		ended := make(chan struct{})
		go func() { defer close(ended); _ = server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = server.Shutdown(); <-ended })
	}
}

// The files of the host are followed without a signal, and without losing a query.
func TestHostFilesUnderLoad(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	addAddress(t, "net0", "10.9.0.1/24")
	addAddress(t, "net0", "10.9.0.2/24")
	etc := ownEtc(t, map[string]string{"resolv.conf": "nameserver 10.9.0.1\n", "hosts": "127.0.0.1 localhost\n"})
	recursorOn(t, "10.9.0.1", "192.0.2.1")
	recursorOn(t, "10.9.0.2", "192.0.2.2")
	d := startDNSD(t)
	now := func(name, address string) func() bool {
		return func() bool {
			udp, err1 := exchange("udp", d.addr, ednsQuery(name, dns.TypeA))
			tcp, err2 := exchange("tcp", d.addr, ednsQuery(name, dns.TypeA))
			return err1 == nil && err2 == nil && hasAddress(udp, address) == nil && hasAddress(tcp, address) == nil
		}
	}
	either := func(_ string, reply *dns.Msg) error {
		if hasAddress(reply, "192.0.2.1") == nil {
			return nil
		}
		return hasAddress(reply, "192.0.2.2")
	}
	load := startLoad(t, d.addr, asker{network: "udp", names: []string{"www.example.org"}, check: either},
		asker{network: "tcp", names: []string{"www.example.org"}, check: either},
		asker{network: "udp", names: []string{"node-7"}, address: "10.0.0.5"})

	if !now("www.example.org", "192.0.2.1")() {
		t.Error("the recursor of resolv.conf does not answer")
	}
	for _, server := range []string{"2", "1", "2"} {
		put(t, filepath.Join(etc, "resolv.conf"), "# changed\nnameserver 10.9.0."+server+"\n")
		lab.Eventually(t, patience, "the recursor to change", now("www.example.org", "192.0.2."+server))
	}
	put(t, filepath.Join(etc, "hosts"), "10.1.1.1 printer # in the hall\n")
	lab.Eventually(t, patience, "the name in the hosts file", now("printer", "10.1.1.1"))
	put(t, filepath.Join(etc, "hosts"), "10.1.1.2 printer\n")
	lab.Eventually(t, patience, "the address to change", now("printer", "10.1.1.2"))
	put(t, filepath.Join(etc, "hosts"), "")
	lab.Eventually(t, patience, "the name to be the recursor's again", now("printer", "192.0.2.2"))
	load.stopAndCheck(t)

	// What was there before resolv.conf was pointed at us is kept beside it.
	put(t, filepath.Join(etc, "resolv.conf.orig"), "nameserver 10.9.0.1\n")
	put(t, filepath.Join(etc, "resolv.conf"), "nameserver 127.0.0.1\n")
	lab.Eventually(t, patience, "the copy of resolv.conf to be used", now("www.example.org", "192.0.2.1"))
}

// A resolv.conf that is gone, as one is that links into the folder of a service that was
// stopped, leaves the recursors that it named; the log says so, and the next file counts.
func TestResolvConfIsGone(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	addAddress(t, "net0", "10.9.0.1/24")
	addAddress(t, "net0", "10.9.0.2/24")
	etc := ownEtc(t, map[string]string{"resolv.conf": "nameserver 10.9.0.1\n"})
	recursorOn(t, "10.9.0.1", "192.0.2.1")
	recursorOn(t, "10.9.0.2", "192.0.2.2")
	d := startDNSD(t)
	load := startLoad(t, d.addr, asker{network: "udp", names: []string{"www.example.org"}, address: "192.0.2.1"},
		asker{network: "tcp", names: []string{"www.example.org"}, address: "192.0.2.1"})
	resolv := filepath.Join(etc, "resolv.conf")
	if err := os.Remove(resolv); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../run/nowhere/resolv.conf", resolv); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "the log to say so", func() bool { return strings.Contains(d.Stderr(), "is a link to nowhere") })
	for i := range 3 { // each time it has looked at the files again
		name, address := fmt.Sprintf("printer%d", i), fmt.Sprintf("10.1.1.%d", i+1)
		put(t, filepath.Join(etc, "hosts"), address+" "+name+"\n")
		lab.Eventually(t, patience, "the name in the hosts file", func() bool {
			reply, err := exchange("udp", d.addr, ednsQuery(name, dns.TypeA))
			return err == nil && hasAddress(reply, address) == nil
		})
	}
	load.stopAndCheck(t)
	put(t, resolv, "nameserver 10.9.0.2\n")
	lab.Eventually(t, patience, "the recursor to change", func() bool {
		reply, err := exchange("udp", d.addr, ednsQuery("www.example.org", dns.TypeA))
		return err == nil && hasAddress(reply, "192.0.2.2") == nil
	})
	if n := strings.Count(d.Stderr(), "is a link to nowhere"); n != 1 {
		t.Errorf("the log says it %d times", n)
	}
}

// A resolv.conf that names only ourselves leaves Consul's names and those of the
// host; the rest is told to have no recursor, and so is the log.
func TestResolvConfNamesOnlyUs(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	addAddress(t, "net0", "10.9.0.1/24")
	ownEtc(t, map[string]string{"resolv.conf": "nameserver 127.0.0.1\nnameserver 10.9.0.1\n", "hosts": "10.1.1.1 printer\n"})
	d := startWild(t, "127.0.0.1", to("--consul-dns", scripted(t, always(trueAddress))))
	if !strings.Contains(d.Stderr(), "no recursor") || !strings.Contains(d.Stderr(), "level=WARN") {
		t.Errorf("no warning:\n%s", d.Stderr())
	}

	for _, network := range []string{"udp", "tcp"} { // no subtests: they would leave the namespace
		wantAddress(t, d.ask(t, network, ednsQuery("web.service.consul", dns.TypeA)), trueAddress)
		wantAddress(t, d.ask(t, network, ednsQuery("printer", dns.TypeA)), "10.1.1.1")
		within(t, atOnce, "SERVFAIL without a recursor", func() { wantServFail(t, d.ask(t, network, ednsQuery("www.example.org", dns.TypeA))) })
	}
}

// A server that systemd-resolved's stub stands for is read from resolved's own
// file; without it the stub is not asked, because it would ask us.
func TestStubIsNoRecursor(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	ownEtc(t, map[string]string{"resolv.conf": "nameserver 127.0.0.53\n"})
	stub, _ := hold(t, port53("127.0.0.53"))
	d := startWild(t, "127.0.0.1")
	wantServFail(t, d.ask(t, "udp", ednsQuery("www.example.org", dns.TypeA)))
	_ = stub.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := stub.Read(make([]byte, 512)); err == nil {
		t.Errorf("the stub was asked (%d bytes)", n)
	}
}

// What is listened on changes under load: from the wildcard address to one of its
// own, and back, and to another port.
func TestReloadListen(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	addAddress(t, "net0", "10.9.0.1/24")
	u := scripted(t, always(trueAddress))
	d, replace := startRestricted(t, "DNS_LISTEN=0.0.0.0:PORT", to("--dns-upstreams", u))
	port := d.addr.Port()
	other := netip.AddrPortFrom(netip.MustParseAddr("10.9.0.1"), port)
	load := startLoad(t, d.addr, asker{network: "udp", names: []string{"www.example.org"}, address: trueAddress},
		asker{network: "tcp", names: []string{"www.example.org"}, address: trueAddress})
	answering := func(server netip.AddrPort) bool {
		for _, network := range []string{"udp", "tcp"} {
			if reply, err := exchange(network, server, ednsQuery("www.example.org", dns.TypeA)); err != nil || hasAddress(reply, trueAddress) != nil {
				return false
			}
		}
		return true
	}
	for range 3 {
		if !answering(d.addr) {
			t.Fatalf("not listening on %s:\n%s", d.addr, d.Stderr())
		}
		lab.Eventually(t, patience, other.String()+" to be served", func() bool { return answering(other) })
		lab.Eventually(t, patience, "the load to go on", load.more(100))
		replace("DNS_LISTEN=" + d.addr.String())
		d.reload(t, reloaded)
		if !answering(d.addr) {
			t.Fatalf("not listening on %s:\n%s", d.addr, d.Stderr())
		}
		lab.Eventually(t, patience, other.String()+" to be given up", func() bool {
			_, err := exchange("tcp", other, ednsQuery("www.example.org", dns.TypeA))
			return err != nil
		})
		lab.Eventually(t, patience, "the load to go on", load.more(100))
		replace(fmt.Sprintf("DNS_LISTEN=0.0.0.0:%d", port))
		d.reload(t, reloaded)
	}
	taken := loopback4(t)
	hold(t, taken)
	replace("DNS_LISTEN=" + taken.String() + "\nDNS_UDP_SIZE=4096")
	d.reload(t, reloadFailed)
	if size := d.ask(t, "udp", ednsQuery("node-7", dns.TypeA)).IsEdns0().UDPSize(); size != 1232 {
		t.Errorf("a part of the settings that could not be used is in force: size %d", size)
	}
	if !answering(d.addr) {
		t.Errorf("a reload that failed took the address that was listened on:\n%s", d.Stderr())
	}
	load.stopAndCheck(t)
	next := loopback4(t)
	replace("DNS_LISTEN=" + next.String())
	d.reload(t, reloaded)
	if !answering(next) {
		t.Errorf("not listening on the new address:\n%s", d.Stderr())
	}
}
