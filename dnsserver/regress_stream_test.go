package dnsserver

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/configs"
	"panteras/dnsserver/upstream"
	"panteras/internal/lab"
)

// elsewhere makes the rig's Consul servers ones of another host.
func (r *rig) elsewhere() {
	for u := range r.w.cfg.servers {
		if u.Consul {
			u.Local = false
		}
	}
}

// answerOverTCP waits, in the world's time, for an answer that is on its way over TCP; the worker's clock stands still.
func (r *rig) answerOverTCP(c *client) (m *dns.Msg) {
	r.t.Helper()
	lab.Eventually(r.t, patience, "the answer over TCP to reach the client", func() bool {
		r.step()
		m = c.answer()
		return m != nil
	})
	return m
}

// A large answer takes Consul its time. Over TCP nothing gets lost, so asking again and again would only add to its work.
func TestSRVOverTCPIsWaitedFor(t *testing.T) {
	t.Parallel()
	for slow, atMost := range map[time.Duration]int{700 * time.Millisecond: 1, 1500 * time.Millisecond: 2, 3500 * time.Millisecond: stageAttempts} {
		hold := make(chan struct{})
		server := lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
			if q.Number > 1 { // it is the first one's answer that counts
				return nil
			}
			return []lab.Action{lab.Until(hold), lab.Reply(lab.Answers("@ 0 IN SRV 1 1 31000 a.node.consul."))}
		})
		r := newRig(t, func(s *configs.Settings) { s.ConsulDNS = addrPorts(server.Addr.String()) })
		r.elsewhere()
		c := r.client()
		q := c.ask(web, dns.TypeSRV, 1232)
		r.step()
		lab.Eventually(t, patience, "the query to arrive", func() bool { return server.Stats().TCP == 1 })
		r.passSlowly(slow, c.never())
		close(hold)
		if m := r.answerOverTCP(c); m.Id != q.Id || len(m.Answer) != 1 {
			t.Errorf("after %v: %v", slow, m)
		}
		if s := server.Stats(); s.TCP > atMost || s.UDP != 0 {
			t.Errorf("after %v: %d queries over TCP and %d over UDP, want at most %d and none", slow, s.TCP, s.UDP, atMost)
		}
		r.idle()
	}
}

// Whoever guesses ids goes on guessing when the query is sent again: the answer that comes over TCP is taken all the same.
func TestAForgedIDLeavesTheTimeForTCP(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	server := lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
		if q.TCP && q.Number <= 2 {
			return []lab.Action{lab.Until(hold), lab.Reply(lab.Answers("@ 0 IN A 192.0.2.1"))}
		}
		if q.TCP {
			return nil
		}
		return []lab.Action{lab.Reply(lab.WrongID())}
	})
	r := newRig(t, func(s *configs.Settings) { s.DNSUpstreams = addrPorts(server.Addr.String()) })
	c := r.client()
	q := c.ask("a.example.", dns.TypeA, 1232)
	lab.Eventually(t, patience, "the query to be moved to TCP", func() bool { r.step(); return server.Stats().TCP == 1 })
	for range 12 { // 1.2 s, and each forgery gets the time to arrive
		r.pass(100 * time.Millisecond)
		sent := server.Stats().UDP
		lab.Eventually(t, patience, "the forgeries to arrive", func() bool { r.step(); return mismatches(r) >= sent })
		c.silent()
	}
	close(hold)
	if m := r.answerOverTCP(c); m.Id != q.Id || len(m.Answer) != 1 {
		t.Errorf("got %v", m)
	}
	if got := server.Stats().TCP; got > 2 {
		t.Errorf("%d queries over TCP", got)
	}
	r.idle()
}

func mismatches(r *rig) (n int) {
	for u := range r.w.cfg.servers {
		n += int(u.Mismatches.Load())
	}
	return n
}

// A firewall, or a server without TCP, says nothing about UDP, by which nearly all ask.
func TestNoTCPDoesNotMeanDown(t *testing.T) {
	t.Parallel()
	server := lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
		if q.Msg.Question[0].Qtype != dns.TypeA { // no probe brings it back unseen
			return nil
		}
		return []lab.Action{lab.Reply(lab.Answers("@ 0 IN A 192.0.2.1"))}
	})
	server.CloseTCP()
	r := run(t, server.Addr, server.Addr, nil)
	for _, name := range []string{web, "a.example."} {
		for range 6 {
			m, err := r.ask("tcp", new(dns.Msg).SetQuestion(name, dns.TypeA))
			if err != nil || m.Rcode != dns.RcodeServerFailure {
				t.Errorf("over TCP: %v, %v", m, err)
			}
			m, err = r.ask("udp", new(dns.Msg).SetQuestion(name, dns.TypeA))
			if err != nil || len(m.Answer) != 1 {
				t.Errorf("over UDP: %v, %v", m, err)
			}
		}
	}
	// In a row, with no answer in between, as on a host whose clients all use TCP.
	for range 6 {
		for _, name := range []string{web, "a.example."} {
			if m, err := r.ask("tcp", new(dns.Msg).SetQuestion(name, dns.TypeA)); err != nil || m.Rcode != dns.RcodeServerFailure {
				t.Errorf("over TCP: %v, %v", m, err)
			}
		}
	}
	for u := range r.cfg.Load().servers {
		if u.Down() || u.Unreachable.Load() < 6 {
			t.Errorf("%s: down %v, %d connections refused", u.Addr, u.Down(), u.Unreachable.Load())
		}
	}
}

// The same for SRV that goes to a remote Consul over TCP.
func TestNoTCPAtConsulDoesNotMeanDown(t *testing.T) {
	t.Parallel()
	server := lab.NewUpstream(t, lab.Script()) // no probe brings it back unseen
	server.CloseTCP()
	r := newRig(t, func(s *configs.Settings) { s.ConsulDNS = addrPorts(server.Addr.String()) })
	r.elsewhere()
	c := r.client()
	for range 5 {
		q := c.ask(web, dns.TypeSRV, 1232)
		r.step()
		if m := r.answerOverTCP(c); m.Id != q.Id || m.Rcode != dns.RcodeServerFailure {
			t.Errorf("got %v", m)
		}
	}
	if u := consulOf(r); u.Down() || u.Unreachable.Load() != 5 {
		t.Errorf("down %v, %d connections refused", u.Down(), u.Unreachable.Load())
	}
	r.idle()
}

// However many Consul servers are silent over TCP, the recursors are asked in time.
func TestSilentConsulsLeaveTheRecursorsTheirTime(t *testing.T) {
	t.Parallel()
	rec := lab.NewUpstream(t, lab.Script(lab.Reply(lab.Answers("@ 0 IN A 192.0.2.1"))))
	for name, server := range map[string]lab.Handler{
		"silent":         nil,
		"slowly failing": lab.Script(lab.Delay(1200*time.Millisecond), lab.Reply(lab.Rcode(dns.RcodeServerFailure))),
	} {
		if server == nil {
			server = lab.Script()
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, rec.Addr, rec.Addr, func(s *configs.Settings) {
				s.ConsulDNS = nil
				for range 5 {
					s.ConsulDNS = append(s.ConsulDNS, lab.NewUpstream(t, server).Addr)
				}
			})
			m, err := r.ask("tcp", new(dns.Msg).SetQuestion("web.acme.test.", dns.TypeA))
			if err != nil || len(m.Answer) != 1 {
				t.Errorf("got %v, %v", m, err)
			}
		})
	}
}

func consulOf(r *rig) *upstream.Upstream {
	for u := range r.w.cfg.servers {
		if u.Consul {
			return u
		}
	}
	return nil
}
