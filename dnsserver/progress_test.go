package dnsserver

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/configs"
)

// passSlowly lets time pass in small steps, so that what waits for a short while does so again and again. It ends early once done says so, and returns
// how much has passed.
func (r *rig) passSlowly(d time.Duration, done func() bool) time.Duration {
	const step = 20 * time.Millisecond
	for passed := step; ; passed += step {
		r.pass(step)
		if passed >= d || (done != nil && done()) {
			return passed
		}
	}
}

// never is for passSlowly: a client that must not get anything yet.
func (c *client) never() func() bool {
	return func() bool { c.silent(); return false }
}

// end lets time pass until the answer to q comes, and returns it and how long that took.
func (r *rig) end(c *client, q *dns.Msg) (*dns.Msg, time.Duration) {
	r.t.Helper()
	var m *dns.Msg
	took := r.passSlowly(2*queryLife, func() bool { m = c.answer(); return m != nil })
	if m == nil || m.Id != q.Id {
		r.t.Fatalf("no answer to %s: %v", q.Question[0].String(), m)
	}
	return m, took
}

// badly is how the server that is asked second can fail while the first one is still to answer.
var badly = map[string]int{"a closed port": -1, "SERVFAIL": dns.RcodeServerFailure, "REFUSED": dns.RcodeRefused}

// A server that fails at once must not speak for one that only takes its time.
func TestASlowGoodAnswerWinsOverAFastBadOne(t *testing.T) {
	t.Parallel()
	for name, rcode := range badly {
		for _, consul := range []bool{false, true} {
			if consul && rcode == dns.RcodeRefused {
				continue // Consul's REFUSED is the truth
			}
			second := newFakeServer(t)
			other := second.addr
			if rcode < 0 {
				other = closed(t)
			}
			r := newRig(t, func(s *configs.Settings) {
				if consul {
					s.ConsulDNS = append(s.ConsulDNS, other)
				} else {
					s.DNSUpstreams = append(s.DNSUpstreams, other)
				}
			})
			slow, question := r.rec, "a.example."
			if consul {
				slow, question = r.consul, web
			}
			c := r.client()
			q := c.ask(question, dns.TypeA, 1232)
			r.step()
			first := slow.want()
			r.passSlowly(800*time.Millisecond, func() bool {
				if bad := second.next(); bad != nil {
					bad.reply(rcode)
					r.step()
				}
				c.silent()
				return false
			})
			first.reply(0, "@ 0 IN A 192.0.2.1")
			r.step()
			if m := c.answers(q); m.Rcode != 0 || len(m.Answer) != 1 {
				t.Errorf("%s (Consul: %v): %v", name, consul, m)
			}
			r.idle()
		}
	}
}

// The other way round: the refusal comes first, and the good answer of a server that is asked because of it comes late.
func TestARefusalWaitsForWhoIsAskedNext(t *testing.T) {
	t.Parallel()
	second := newFakeServer(t)
	r := newRig(t, func(s *configs.Settings) { s.DNSUpstreams = append(s.DNSUpstreams, second.addr) })
	c := r.client()
	q := c.ask("a.example.", dns.TypeA, 0)
	r.step()
	r.rec.want().reply(dns.RcodeRefused)
	r.step()
	slow := second.want()
	r.passSlowly(queryLife-100*time.Millisecond, c.never())
	slow.reply(0, "@ 0 IN A 192.0.2.1")
	r.step()
	if m := c.answers(q); len(m.Answer) != 1 {
		t.Errorf("got %v", m)
	}
	r.idle()
}

// Nor is it forgotten if that one never answers.
func TestARefusalStandsForSilence(t *testing.T) {
	t.Parallel()
	for _, consul := range []bool{false, true} {
		second := newFakeServer(t)
		r := newRig(t, func(s *configs.Settings) {
			s.DNSUpstreams, s.ConsulDNS = append(s.DNSUpstreams, second.addr), append(s.ConsulDNS, second.addr)
		})
		bad, question, rcode := r.rec, "a.example.", dns.RcodeRefused
		if consul {
			bad, question, rcode = r.consul, web, dns.RcodeServerFailure
		}
		c := r.client()
		q := c.ask(question, dns.TypeA, 1232)
		r.step()
		bad.want().reply(rcode)
		r.step()
		second.want()
		m, took := r.end(c, q)
		if m.Rcode != rcode || extendedCode(m) != -1 { // the network is not to blame
			t.Errorf("got %v", m)
		}
		inTime(t, took)
		r.idle()
	}
}

// If nothing better comes, the refusal is what there is to say: the resolver behind it knows why.
func TestARefusalIsRememberedToTheEnd(t *testing.T) {
	t.Parallel()
	second := newFakeServer(t)
	r := newRig(t, func(s *configs.Settings) { s.DNSUpstreams = append(s.DNSUpstreams, second.addr) })
	c := r.client()
	q := c.ask("a.example.", dns.TypeA, 1232)
	r.step()
	refused := 0
	var m *dns.Msg
	took := r.passSlowly(2*queryLife, func() bool {
		if bad := second.next(); bad != nil {
			bad.reply(dns.RcodeRefused)
			r.step()
			refused++
		}
		m = c.answer()
		return m != nil
	})
	if m == nil || m.Id != q.Id || m.Rcode != dns.RcodeRefused || m.IsEdns0() == nil {
		t.Errorf("after %d refusals: %v", refused, m)
	}
	inTime(t, took)
	r.idle()
}

// inTime fails the test unless a query that got no answer ended when it should: not before its time was used, and before a stub resolver gives up.
func inTime(t *testing.T, took time.Duration) {
	t.Helper()
	const want, room = 4500 * time.Millisecond, 200 * time.Millisecond // a stub resolver waits 5 s
	if took < want || took > want+room {
		t.Errorf("ended after %v, want %v", took, want)
	}
}

// However many servers and stages are silent: the client is told in time, and what answers before that is not too late.
func TestSilenceEndsInTime(t *testing.T) {
	t.Parallel()
	for _, question := range []string{"a.example.", web, "web.acme.test."} {
		for _, alone := range []bool{true, false} {
			more := newFakeServer(t)
			r := newRig(t, func(s *configs.Settings) {
				if !alone {
					s.DNSUpstreams, s.ConsulDNS = append(s.DNSUpstreams, more.addr), append(s.ConsulDNS, more.addr)
				}
			})
			c := r.client()
			q := c.ask(question, dns.TypeA, 1232)
			r.step()
			m, took := r.end(c, q)
			if m.Rcode != dns.RcodeServerFailure {
				t.Errorf("%s: %v", question, m)
			}
			inTime(t, took)
			r.idle()
		}
	}
	for _, question := range []string{"a.example.", web, "web.acme.test."} {
		r := newRig(t, nil)
		c := r.client()
		q := c.ask(question, dns.TypeA, 1232)
		r.step()
		var last *upQuery
		r.passSlowly(queryLife-100*time.Millisecond, func() bool {
			for _, server := range []*fakeServer{r.consul, r.rec} {
				for u := server.next(); u != nil; u = server.next() {
					if server == r.rec || question == web {
						if last == nil { // the first one of the last stage
							last = u
						}
					}
				}
			}
			c.silent()
			return false
		})
		last.reply(0, "@ 0 IN A 192.0.2.1")
		r.step()
		if m := c.answers(q); len(m.Answer) != 1 {
			t.Errorf("%s: %v", question, m)
		}
		r.idle()
	}
}

// Servers that take their time to say that they cannot must not add up.
func TestManySlowFailuresEndInTime(t *testing.T) {
	t.Parallel()
	for _, slow := range []time.Duration{300 * time.Millisecond, 900 * time.Millisecond, 2 * time.Second} {
		for _, rcode := range []int{dns.RcodeServerFailure, dns.RcodeRefused} {
			servers := make([]*fakeServer, 8)
			for i := range servers {
				servers[i] = newFakeServer(t)
			}
			r := newRig(t, func(s *configs.Settings) {
				s.DNSUpstreams = nil
				for _, f := range servers {
					s.DNSUpstreams = append(s.DNSUpstreams, f.addr)
				}
			})
			type due struct {
				at int64
				q  *upQuery
			}
			var held []due
			c := r.client()
			q := c.ask("a.example.", dns.TypeA, 0)
			r.step()
			var m *dns.Msg
			took := r.passSlowly(2*queryLife, func() bool {
				for _, f := range servers {
					if u := f.next(); u != nil {
						held = append(held, due{r.w.now + int64(slow), u})
					}
				}
				for len(held) > 0 && held[0].at <= r.w.now {
					held[0].q.reply(rcode)
					held = held[1:]
					r.step()
				}
				m = c.answer()
				return m != nil
			})
			if m == nil || m.Id != q.Id || m.Rcode != rcode || took > 4700*time.Millisecond {
				t.Errorf("%v each: after %v %v", slow, took, m)
			}
			r.idle()
		}
	}
}
