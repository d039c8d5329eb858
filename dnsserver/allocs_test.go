//go:build !race

package dnsserver

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"panteras/dnsserver/lb"
	"panteras/dnsserver/wire"
)

// The forward path must not allocate: garbage collection would show in the latency of every query.
func TestForwardAllocs(t *testing.T) {
	for name, make := range forwards {
		t.Run(name, func(t *testing.T) {
			f := make(t)
			for range 600 { // every socket of the pool has been opened
				if !f.once() {
					t.Fatal("no answer")
				}
			}
			failed := false
			const queries = 50 // a run, because AllocsPerRun rounds down
			n := testing.AllocsPerRun(40, func() {
				for range queries {
					failed = failed || !f.once()
				}
			})
			if n != 0 {
				t.Errorf("%v allocations in %d queries", n, queries)
			}
			if failed {
				t.Error("a query got no answer")
			}
			f.r.idle()
		})
	}
}

// Neither do queries that gather, nor those that share an answer.
func TestGatherAllocs(t *testing.T) {
	f := newForward(t, false, web, dns.TypeA, 1232, "@ 0 IN A 10.1.0.1", "@ 0 IN A 10.1.0.2", "@ 0 IN A 10.1.0.3")
	failed := false
	round := func() {
		w := f.r.w
		w.now = monotonic()
		for range 8 { // the first one leaves, the others gather behind it
			failed = failed || !sendTo(f.client, f.query, nil)
			w.readClients(f.r.ls)
		}
		for range 2 {
			failed = failed || recvFrom(f.server, f.buf, &f.from) < 12
			f.reply[0], f.reply[1] = f.buf[0], f.buf[1]
			failed = failed || !sendTo(f.server, f.reply, &f.from)
			w.handle(w.poller.Wait(100))
			w.flush()
		}
		for range 8 {
			failed = failed || recvFrom(f.client, f.buf, nil) < 12
		}
	}
	for range 300 {
		round()
	}
	if n := testing.AllocsPerRun(40, func() {
		for range 20 {
			round()
		}
	}); n != 0 {
		t.Errorf("%v allocations in 20 rounds of 8 queries", n)
	}
	if failed {
		t.Error("a query got no answer")
	}
	f.r.idle()
}

// Neither does an answer that names the HAProxies (DNS_MODE=lb).
func TestBalancedAllocs(t *testing.T) {
	r := newRig(t, nil)
	snap := *r.srv.cfg.Load()
	snap.lb = newBalanced(lb.NewView([]string{"web"}, nil, netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.8")), snap.settings, snap.own)
	r.w.adopt(&snap)
	m := new(dns.Msg).SetQuestion("web.service.consul.", dns.TypeA)
	query, err := m.SetEdns0(1232, false).Pack()
	if err != nil {
		t.Fatal(err)
	}
	var fold [wire.MaxName]byte
	var q wire.Query
	out := make([]byte, 0, 1232)
	if n := testing.AllocsPerRun(40, func() {
		for range 50 {
			if wire.Parse(query, &q) != wire.OK {
				t.Fatal("not parsed")
			}
			d := snap.decide(&q, q.Fold(fold[:], query))
			if d.act != actBalancer || len(snap.appendBalancers(out, query, &q, &d, 1232)) == 0 {
				t.Fatal("no answer")
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations in 50 queries", n)
	}
}
