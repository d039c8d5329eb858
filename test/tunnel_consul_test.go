package test

import (
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel/store"

	consul "github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
)

// withConsul runs a Consul beside the gateway, which keeps its peers there. The service
// "python" is registered, at port 80 of the service's host.
func (l *tunnelLab) withConsul() (node *lab.ConsulNode) {
	l.t.Helper()
	l.gateway.do(l.t, func() {
		node = lab.Consul(l.t, lab.ConsulOptions{Dial: l.gateway.DialContext})
	})
	l.store = store.NewConsul(node.API, node.HTTPAddr.String())
	l.args = append(l.args, "--tunnel-store", "consul", "--consul-http-addr", node.HTTPAddr.String())
	if _, err := node.API.Catalog().Register(&consul.CatalogRegistration{
		Node: "backend", Address: serviceAddr, Service: &consul.AgentService{ID: "python", Service: "python", Address: serviceAddr, Port: 80},
	}, nil); err != nil {
		l.t.Fatal(err)
	}
	return node
}

// withDNS runs the DNS server on the gateway, as it is run beside a gateway.
func (l *tunnelLab) withDNS(node *lab.ConsulNode, recursor string) {
	l.t.Helper()
	l.gateway.do(l.t, func() {
		lab.Panteras(l.t, lab.PanterasOptions{
			Args: []string{"dns", "--ip", gatewayInner, "--consul-dns", node.DNS.String(), "--dns-upstreams", recursor, "--tunnel-endpoint", gatewayOuter},
			Env:  []string{"HOSTNAME=gw"}, ReadyDNS: netip.MustParseAddrPort(gatewayInner + ":53"),
		})
	})
}

// asks sends a DNS query from the host.
func (h *host) asks(t testing.TB, server, name string, qtype uint16) (reply *dns.Msg, err error) {
	t.Helper()
	h.do(t, func() { reply, err = lab.Ask(netip.MustParseAddrPort(server), "udp", name, qtype) })
	return reply, err
}

// recursor serves DNS on the host: one address for every name.
func (h *host) recursor(t testing.TB, address, answer string) {
	t.Helper()
	c := h.packets(t, address)
	server := &dns.Server{PacketConn: c, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		if q.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(answer)}}
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
}

// What people come for: a client file, as `peer add` wrote it, unchanged; the platform's
// names, and its services. Then Consul dies, and nothing changes for those who are in.
func TestTunnelIsWhatPeopleComeFor(t *testing.T) {
	t.Parallel()
	l := newTunnelLab(t)
	node := l.withConsul()
	l.service.recursor(t, serviceAddr+":53", "192.168.1.1")
	l.start()
	l.withDNS(node, serviceAddr+":53")
	l.service.serve(t, serviceAddr+":80", func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\npython")
	})
	l.service.source(t, serviceAddr+":81")

	file := filepath.Join(t.TempDir(), "alice-laptop.conf")
	panteras := filepath.Join(lab.Root(t), "bin", "panteras")
	peerCommand := func(args ...string) string {
		return l.gateway.run(t, panteras, append([]string{"peer"}, append(args, "--state-dir", l.state, "--log-dir", filepath.Join(l.state, "log"), "--consul-http-addr", node.HTTPAddr.String())...)...)
	}
	lab.Eventually(t, patience, "the gateway to be published", func() bool {
		entry, _, err := node.API.KV().Get("panteras/tunnel/gateways/gw", nil)
		return err == nil && entry != nil
	})
	peerCommand("add", "alice-laptop", "--os", "linux", "--output", file)
	wgQuickUp(t, l.client, file, currentWireGuard(t))
	lab.Eventually(t, patience, "the peer to be let in", func() bool { return l.client.pings(t, tunnelGateway) })

	reply, err := l.client.asks(t, tunnelGateway+":53", "python.service.consul", dns.TypeSRV)
	if err != nil || len(reply.Answer) != 1 || reply.Answer[0].(*dns.SRV).Port != 80 {
		t.Errorf("SRV: %v, %v", reply, err)
	}
	reply, err = l.client.asks(t, tunnelGateway+":53", "python.service.consul", dns.TypeA)
	if err != nil || len(reply.Answer) != 1 {
		t.Fatalf("A: %v, %v", reply, err)
	}
	c, err := l.client.dial(t, "tcp", net.JoinHostPort(reply.Answer[0].(*dns.A).A.String(), "80"), net.Dialer{})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	if text, _ := io.ReadAll(c); !strings.HasSuffix(string(text), "python") {
		t.Errorf("got %q", text)
	}

	// A name of the Internet is none of a host inside, for peers; for the host itself it is.
	if reply, err := l.client.asks(t, tunnelGateway+":53", "rebind.example", dns.TypeA); err != nil || len(reply.Answer) != 0 {
		t.Errorf("rebinding: %v, %v", reply, err)
	}
	if reply, err := l.client.asks(t, "[fd99::1]:53", "rebind.example", dns.TypeA); err != nil || len(reply.Answer) != 0 {
		t.Errorf("rebinding over IPv6: %v, %v", reply, err)
	}
	if reply, err := l.gateway.asks(t, gatewayInner+":53", "rebind.example", dns.TypeA); err != nil || len(reply.Answer) != 1 {
		t.Errorf("the gateway itself: %v, %v", reply, err)
	}

	var listed []struct {
		Name          string    `json:"name"`
		LastHandshake time.Time `json:"last_handshake"`
		RxBytes       int64     `json:"rx_bytes"`
		Endpoint      string    `json:"endpoint"`
	}
	if err := json.Unmarshal([]byte(peerCommand("list", "--json")), &listed); err != nil || len(listed) != 1 {
		t.Fatalf("%v, %+v", err, listed)
	}
	if p := listed[0]; p.Name != "alice-laptop" || p.RxBytes == 0 || time.Since(p.LastHandshake) > time.Minute || !strings.HasPrefix(p.Endpoint, clientAddr+":") {
		t.Errorf("%+v", p)
	}

	got := l.client.download(t, serviceAddr+":81")
	node.Kill()
	lab.Eventually(t, patience, "the gateway to notice", func() bool { return l.metric("panteras_tunnel_store_up") == 0 })
	flows(t, got)
	// It goes on even after a restart, with what was known.
	l.process.Signal(syscall.SIGKILL)
	<-l.process.Done()
	l.start()
	flows(t, got)
	// And when Consul is back, what is said there counts again.
	l.gateway.do(t, func() { node.Restart(t) })
	lab.Eventually(t, 30*time.Second, "Consul to be back", func() bool {
		_, err := node.API.Status().Leader()
		return err == nil && l.metric("panteras_tunnel_store_up") == 1
	})
	flows(t, got)
	peerCommand("remove", "alice-laptop")
	ceases(t, got, 500*time.Millisecond)
}
