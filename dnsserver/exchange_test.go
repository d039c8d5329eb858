package dnsserver

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/configs"
	"panteras/dnsserver/upstream"
	"panteras/internal/lab"
)

// A reply to another question is no answer: it is counted, and the true one is waited for (RFC 5452 section 9.1).
func TestAMismatchIsWaitedOut(t *testing.T) {
	t.Parallel()
	other := newFakeServer(t)
	r := newRig(t, func(s *configs.Settings) { s.DNSUpstreams = append(s.DNSUpstreams, other.addr) })
	c := r.client()
	for name, server := range map[string]*fakeServer{web: r.consul, "a.example.": r.rec} {
		q := c.ask(name, dns.TypeA, 0)
		r.step()
		arrived := server.want()
		wrong := new(dns.Msg).SetReply(arrived.Msg)
		wrong.Question[0].Name = "evil.example."
		arrived.send(wrong)
		r.step()
		arrived.raw([]byte{1, 2, 3})
		r.step()
		c.silent()
		other.quiet() // nor is it a reason to ask somebody else at once
		arrived.reply(0, "@ 0 IN A 192.0.2.1")
		r.step()
		c.answers(q)
		for u := range r.w.cfg.servers {
			if u.Addr == server.addr && u.Mismatches.Load() != 2 {
				t.Errorf("%d mismatches of %s, want 2", u.Mismatches.Load(), u.Addr)
			}
		}
	}
	r.idle()
}

// An answer that is right in all but where it comes from is nobody's (RFC 5452 section 9.1).
func TestOnlyTheServerThatWasAskedAnswers(t *testing.T) {
	t.Parallel()
	r, stranger := newRig(t, nil), newFakeServer(t)
	c := r.client()
	for name, server := range map[string]*fakeServer{web: r.consul, "a.example.": r.rec} {
		q := c.ask(name, dns.TypeA, 0)
		r.step()
		arrived := server.want()
		(&upQuery{arrived.Msg, stranger, arrived.from}).reply(0, "@ 0 IN A 203.0.113.1")
		r.step()
		c.silent()
		arrived.reply(0, "@ 0 IN A 192.0.2.1")
		r.step()
		if got := addresses(c.answers(q)); len(got) != 1 || got[0] != "192.0.2.1" {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if n := mismatches(r); n != 0 {
		t.Errorf("%d mismatches counted: the kernel lets through what comes from elsewhere", n)
	}
	r.idle()
}

// What has just been answered is asked again for the next client.
func TestNothingIsCached(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for name, server := range map[string]*fakeServer{web: r.consul, "a.example.": r.rec} {
		for _, address := range []string{"192.0.2.1", "192.0.2.2"} {
			c := r.client()
			q := c.ask(name, dns.TypeA, 1232)
			r.step()
			server.want().reply(0, "@ 3600 IN A "+address)
			r.step()
			if got := addresses(c.answers(q)); len(got) != 1 || got[0] != address {
				t.Errorf("%s: got %v, want %s", name, got, address)
			}
		}
	}
	r.idle()
}

// A late answer to a query that has been answered is no sign of forgery.
func TestALateAnswerIsNoForgery(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.client()
	q := c.ask(web, dns.TypeA, 0)
	r.step()
	first := r.consul.want()
	r.pass(waits[firstAttempt])
	second := r.consul.want()
	second.reply(0, "@ 0 IN A 10.1.0.1")
	r.step()
	c.answers(q)
	first.reply(0, "@ 0 IN A 10.1.0.1")
	second.reply(0, "@ 0 IN A 10.1.0.1")
	r.step()
	c.silent()
	if r.w.stats.moved.Load() != 0 {
		t.Error("a query was moved to TCP")
	}
	for u := range r.w.cfg.servers {
		if u.Mismatches.Load() != 0 {
			t.Errorf("%d mismatches", u.Mismatches.Load())
		}
	}
	r.idle()
}

// Who guesses ids has found the port: it is given up at once, and the query asks over TCP, which cannot be forged blindly.
func TestAWrongIDMovesTheQueryToTCP(t *testing.T) {
	t.Parallel()
	server := lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
		if !q.TCP {
			return []lab.Action{lab.Reply(lab.WrongID(), lab.Answers("@ 0 IN A 203.0.113.6")), lab.Delay(50 * time.Millisecond), lab.Reply(lab.Answers("@ 0 IN A 203.0.113.6"))}
		}
		return []lab.Action{lab.Reply(lab.Answers("@ 0 IN A 192.0.2.1"))}
	})
	r := newRig(t, func(s *configs.Settings) { s.DNSUpstreams = []netip.AddrPort{server.Addr} })
	c := r.client()
	q := c.ask("a.example.", dns.TypeA, 0)
	var answer *dns.Msg
	lab.Eventually(t, patience, "the answer that came over TCP", func() bool {
		r.step()
		answer = c.answer()
		return answer != nil
	})
	if answer.Id != q.Id || len(answer.Answer) != 1 || addresses(answer)[0] != "192.0.2.1" {
		t.Errorf("got %v", answer)
	}
	if r.w.stats.moved.Load() != 1 || server.Stats().TCP != 1 {
		t.Errorf("%d moved, %d asked over TCP", r.w.stats.moved.Load(), server.Stats().TCP)
	}
	r.idle()
}

// Ids and ports are drawn anew for each query to a server that others could forge answers of.
func TestIdsAndPortsAreSpread(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.client()
	ids, ports := map[uint16]bool{}, map[string]bool{}
	last, follow := uint16(0), 0
	for i := range 400 {
		c.ask(fmt.Sprintf("n%d.example.", i), dns.TypeA, 0)
		r.step()
		q := r.rec.want()
		ids[q.Id], ports[fmt.Sprint(q.from)] = true, true
		if q.Id-last < 100 { // one in 655 by chance
			follow++
		}
		last = q.Id
		q.reply(0)
		r.step()
	}
	if follow > 20 {
		t.Errorf("%d of 400 ids follow the one before: they can be guessed", follow)
	}
	if len(ids) < 390 || len(ports) != localSockets { // the recursor of this test runs on this host
		t.Errorf("%d ids and %d ports for 400 queries", len(ids), len(ports))
	}
	if st := newUpState(r.w.cfg.targets[0].stages[0].group.Servers[0]); len(st.socks) != localSockets {
		t.Errorf("%d sockets to a local server", len(st.socks))
	}
	remote := upstream.New(recAddr, false, false, nil, slog.New(slog.DiscardHandler))
	defer remote.Close()
	if st := newUpState(remote); len(st.socks) != remoteSockets {
		t.Errorf("%d sockets to a remote server", len(st.socks))
	}
	// After its time a port is replaced.
	r.pass(socketAge)
	c.ask("last.example.", dns.TypeA, 0)
	r.step()
	if q := r.rec.want(); ports[fmt.Sprint(q.from)] {
		t.Error("an old port is still in use")
	}
}

func TestRecursorsStandInForEachOther(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]int{"SERVFAIL": dns.RcodeServerFailure, "REFUSED": dns.RcodeRefused} {
		dead, second := closed(t), newFakeServer(t)
		r := newRig(t, func(s *configs.Settings) { s.DNSUpstreams = append(s.DNSUpstreams, dead, second.addr) })
		c := r.client()
		q := c.ask("a.example.", dns.TypeA, 0)
		r.step()
		r.rec.want().reply(bad)
		r.step() // no time passes: the port in between is closed, and the third is asked
		second.want().reply(0, "@ 0 IN A 192.0.2.1")
		r.step()
		if got := c.answers(q); len(got.Answer) != 1 {
			t.Errorf("%s: %v", name, got)
		}
		// The one that answered is asked first from now on.
		q = c.ask("b.example.", dns.TypeA, 0)
		r.step()
		second.want().reply(bad)
		r.step()
		r.rec.want().reply(bad)
		r.step()
		if got := c.answers(q); got.Rcode != bad { // all say so
			t.Errorf("%s: %v", name, got)
		}
		r.idle()
	}
}

func TestWhatFallsThroughToTheRecursors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		rcode int
		falls bool
	}{
		{"NXDOMAIN", dns.RcodeNameError, true},
		{"SERVFAIL", dns.RcodeServerFailure, true},
		{"NODATA", dns.RcodeSuccess, false},
		{"REFUSED", dns.RcodeRefused, false},
	} {
		r := newRig(t, nil)
		c := r.client()
		q := c.ask("Web.acme.test.", dns.TypeA, 1232)
		r.step()
		arrived := r.consul.want()
		if arrived.Question[0].Name != "Web.service.consul." {
			t.Errorf("asked %v", arrived.Msg)
		}
		arrived.reply(test.rcode)
		r.step()
		if !test.falls {
			r.rec.quiet()
			if got := c.answers(q); got.Rcode != test.rcode {
				t.Errorf("%s: %v", test.name, got)
			}
			continue
		}
		fallen := r.rec.want()
		if fallen.Question[0].Name != "Web.acme.test." || fallen.IsEdns0() == nil {
			t.Errorf("%s: the recursor was asked %v", test.name, fallen.Msg)
		}
		fallen.reply(0, "@ 60 IN A 192.0.2.1")
		r.step()
		if got := c.answers(q); len(got.Answer) != 1 {
			t.Errorf("%s: %v", test.name, got)
		}
		r.idle()
	}
	// A Consul that says nothing leaves the recursors their time.
	r := newRig(t, nil)
	c := r.client()
	q := c.ask("web.acme.test.", dns.TypeA, 0)
	r.step()
	for range 2 {
		r.consul.want()
		r.rec.quiet()
		r.pass(fallTime / 2)
	}
	r.rec.want().reply(0, "@ 60 IN A 192.0.2.1")
	r.step()
	c.answers(q)
	r.idle()
}

// Under the Consul domain nothing falls through: Consul's word is the truth, and its silence is SERVFAIL.
func TestNothingOfConsulsFallsThrough(t *testing.T) {
	t.Parallel()
	for _, rcode := range []int{dns.RcodeNameError, dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeSuccess} {
		r := newRig(t, nil)
		c := r.client()
		q := c.ask(web, dns.TypeA, 0)
		r.step()
		r.consul.want().reply(rcode)
		r.step()
		if got := c.answers(q); got.Rcode != rcode {
			t.Errorf("got %v", got)
		}
		r.rec.quiet()
		r.idle()
	}
}

// Names of Consul that a tunnel peer asks for may be private; those of the Internet may not.
func TestRebindingFilter(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *configs.Settings) {
		s.TunnelEndpoint, s.TunnelCIDR = "gw.example:51820", netip.MustParsePrefix("127.0.0.0/8") // the client of the test
	})
	c := r.client()
	q := c.ask("evil.example.", dns.TypeA, 1232)
	r.step()
	r.rec.want().reply(0, "@ 60 IN A 10.0.0.1", "@ 60 IN A 192.0.2.1")
	r.step()
	if got := addresses(c.answers(q)); len(got) != 1 || got[0] != "192.0.2.1" {
		t.Errorf("got %v", got)
	}
	q = c.ask(web, dns.TypeA, 1232)
	r.step()
	r.consul.want().reply(0, "@ 0 IN A 10.0.0.1")
	r.step()
	if got := addresses(c.answers(q)); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	if got := r.w.stats.drops[dropPrivate].Load(); got != 1 {
		t.Errorf("%d answers counted", got)
	}
	r.idle()
}
