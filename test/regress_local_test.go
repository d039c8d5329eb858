package test

import (
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// serveOn runs a DNS server of the test on an address of its own network namespace,
// and counts the SRV queries that come over UDP and over TCP.
func serveOn(t testing.TB, addr netip.AddrPort) (udp, tcp *atomic.Int64) {
	t.Helper()
	udp, tcp = new(atomic.Int64), new(atomic.Int64)
	packets, listener := hold(t, addr)
	handler := func(count *atomic.Int64) dns.HandlerFunc {
		return func(w dns.ResponseWriter, q *dns.Msg) {
			reply := new(dns.Msg).SetReply(q)
			name := q.Question[0].Name
			switch q.Question[0].Qtype {
			case dns.TypeSRV:
				count.Add(1)
				rr, _ := dns.NewRR(name + " 0 IN SRV 1 1 31000 a.node.consul.")
				reply.Answer = []dns.RR{rr}
			case dns.TypeA:
				rr, _ := dns.NewRR(name + " 0 IN A 192.0.2.1")
				reply.Answer = []dns.RR{rr}
			}
			_ = w.WriteMsg(reply)
		}
	}
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: handler(udp)}, {Listener: listener, Handler: handler(tcp)}} {
		started, ended := make(chan struct{}), make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { defer close(ended); _ = server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = server.Shutdown(); <-ended })
	}
	return udp, tcp
}

// A Consul behind an address that moves to this host (keepalived does that) is asked
// for SRV over UDP from then on, and over TCP once it has moved away.
func TestConsulThatMovesHere(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	other := newNeighbour(t)
	addAddress(t, "wire", "10.50.0.1/24")
	other.add(t, "10.50.0.2/24")
	consul := netip.MustParseAddrPort("10.50.0.9:8600")
	// The same address on both hosts; the route of a more specific address decides whose is asked.
	other.add(t, "10.50.0.9/32")
	var awayTCP *atomic.Int64
	{
		var packets net.PacketConn
		var listener net.Listener
		var err error
		other.do(func() {
			if packets, err = net.ListenPacket("udp", consul.String()); err == nil {
				listener, err = net.Listen("tcp", consul.String())
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		awayTCP = new(atomic.Int64)
		answer := func(w dns.ResponseWriter, q *dns.Msg) {
			reply := new(dns.Msg).SetReply(q)
			if q.Question[0].Qtype == dns.TypeSRV {
				if _, ok := w.RemoteAddr().(*net.TCPAddr); ok {
					awayTCP.Add(1)
				}
				rr, _ := dns.NewRR(q.Question[0].Name + " 0 IN SRV 1 1 31000 b.node.consul.")
				reply.Answer = []dns.RR{rr}
			}
			_ = w.WriteMsg(reply)
		}
		for _, server := range []*dns.Server{{PacketConn: packets, Handler: dns.HandlerFunc(answer)}, {Listener: listener, Handler: dns.HandlerFunc(answer)}} {
			ended := make(chan struct{})
			go func() { defer close(ended); _ = server.ActivateAndServe() }()
			t.Cleanup(func() { _, _ = packets.Close(), listener.Close(); <-ended })
		}
	}
	d := startDNSD(t, "--consul-dns="+consul.String())
	if reply := d.ask(t, "udp", ednsQuery("web.service.consul", dns.TypeSRV)); len(reply.Answer) != 1 || awayTCP.Load() == 0 {
		t.Fatalf("%d queries over TCP: %v", awayTCP.Load(), reply)
	}
	addAddress(t, "net0", "10.50.0.9/32")
	udp, _ := serveOn(t, consul)
	lab.Eventually(t, patience, "SRV to go to this host over UDP", func() bool {
		reply, err := exchange("udp", d.addr, ednsQuery("web.service.consul", dns.TypeSRV))
		return err == nil && len(reply.Answer) == 1 && udp.Load() > 0
	})
	before := awayTCP.Load()
	removeAddress(t, "net0", "10.50.0.9/32")
	lab.Eventually(t, patience, "SRV to go to the other host over TCP", func() bool {
		reply, err := exchange("udp", d.addr, ednsQuery("web.service.consul", dns.TypeSRV))
		return err == nil && len(reply.Answer) == 1 && awayTCP.Load() > before
	})
}

// A stub resolver on one address of our port, as systemd-resolved on 127.0.0.53, is
// somebody else, whom the settings may name; an address that we have is not.
func TestStubBesideUsAsRecursor(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	addAddress(t, "net0", "10.9.0.1/24")
	serveOn(t, port53("127.0.0.53"))
	d := startWild(t, "127.0.0.1", "--dns-upstreams=127.0.0.53")
	for _, network := range []string{"udp", "tcp"} {
		wantAddress(t, d.ask(t, network, ednsQuery("www.example.org", dns.TypeA)), "192.0.2.1")
	}
	if code := d.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, own := range []string{"127.0.0.1", "127.0.0.54", "10.9.0.1"} {
		p := lab.Panteras(t, lab.PanterasOptions{Args: []string{"dns", "--metrics-listen=off", "--dns-upstreams=" + own}, Env: dnsdEnv})
		if code := p.Wait(t, patience); code != 2 || !strings.Contains(p.Stderr(), "DNS_UPSTREAMS") || !strings.Contains(p.Stderr(), own+":53") {
			t.Errorf("%s as a recursor: exit code %d:\n%s", own, code, p.Stderr())
		}
	}
}
