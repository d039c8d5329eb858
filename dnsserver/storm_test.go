package dnsserver

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/configs"
)

// storm is a random run: what was asked and not answered yet, and what the upstreams have not answered yet.
type storm struct {
	*rig
	rng     *rand.Rand
	clients []*client
	open    map[stormKey]stormQuery
	waiting []*upQuery
	numbers []int // of waiting
	sent    int   // queries that have arrived at an upstream so far
	answers int
	failed  int
}

type stormKey struct {
	client int
	id     uint16
}

type stormQuery struct {
	msg *dns.Msg
	// after is how many queries the upstreams had got when this one was asked: its answer must come from a later one.
	after int
}

// Whatever clients ask and upstreams do, each query gets one answer, to its own question and from a query that was sent after it; and when all is over nothing is
// held any more.
func TestRandomStorms(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(s *configs.Settings) { s.DNSUDPSize = 4096 })
			s := &storm{rig: r, rng: rand.New(rand.NewPCG(seed, 3)), open: map[stormKey]stormQuery{}}
			for range 5 {
				s.clients = append(s.clients, r.client())
			}
			for range 600 {
				switch n := s.rng.IntN(100); {
				case n < 45:
					s.ask()
				case n < 90:
					s.answerOne()
				case n < 99:
					s.pass(time.Duration(s.rng.IntN(8)) * time.Millisecond)
				default:
					s.pass(time.Duration(s.rng.IntN(700)) * time.Millisecond)
				}
				s.collect()
			}
			for i := 0; i < 300 && s.w.queries.used() > 0; i++ {
				s.pass(50 * time.Millisecond)
				s.collect()
			}
			for k, q := range s.open {
				t.Errorf("client %d got no answer to %v", k.client, q.msg)
			}
			if s.answers < 100 || s.failed > s.answers*2/3 {
				t.Errorf("%d answers, %d of them SERVFAIL: not much of a storm", s.answers, s.failed)
			}
			s.idle()
		})
	}
}

// ask sends a random question of a few, so that many are equal.
func (s *storm) ask() {
	k := s.rng.IntN(len(s.clients))
	name := []string{"web.service.consul.", "api.service.consul.", "web.acme.test.", "x.query.consul.", "a.example.", "Deep.web.acme.test."}[s.rng.IntN(6)]
	if s.rng.IntN(3) == 0 {
		name = strings.ToUpper(name)
	}
	m := new(dns.Msg).SetQuestion(name, []uint16{dns.TypeA, dns.TypeA, dns.TypeSRV}[s.rng.IntN(3)])
	if s.rng.IntN(2) == 0 {
		m.SetEdns0([]uint16{512, 1232, 4096}[s.rng.IntN(3)], false)
	}
	s.clients[k].msg(m)
	s.open[stormKey{k, m.Id}] = stormQuery{m, s.sent}
	s.step()
	s.arrived()
}

// arrived numbers what the upstreams have got.
func (s *storm) arrived() {
	for _, f := range []*fakeServer{s.consul, s.rec} {
		for q := f.next(); q != nil; q = f.next() {
			s.sent++
			s.overtaken(q)
			s.waiting = append(s.waiting, q)
			s.numbers = append(s.numbers, s.sent)
		}
	}
}

// overtaken forgets what would be answered too late by now, and could not be told from an answer to q: ids are drawn, and one of 65,536 comes again.
func (s *storm) overtaken(q *upQuery) {
	for i := len(s.waiting) - 1; i >= 0; i-- {
		if old := s.waiting[i]; old.f == q.f && old.Id == q.Id && reflect.DeepEqual(old.from, q.from) {
			s.waiting, s.numbers = slices.Delete(s.waiting, i, i+1), slices.Delete(s.numbers, i, i+1)
		}
	}
}

// answerOne lets an upstream answer one of its queries, or do something worse.
func (s *storm) answerOne() {
	if len(s.waiting) == 0 {
		return
	}
	i := s.rng.IntN(len(s.waiting))
	q, n := s.waiting[i], s.numbers[i]
	s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
	s.numbers = append(s.numbers[:i], s.numbers[i+1:]...)

	m := new(dns.Msg).SetReply(q.Msg)
	if q.Question[0].Qtype == dns.TypeA {
		for part := range 1 + s.rng.IntN(4) { // the number, and something to tell the addresses apart
			m.Answer = append(m.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: []byte{byte(100 + part), byte(n >> 16), byte(n >> 8), byte(n)},
			})
		}
	} else if q.Question[0].Qtype == dns.TypeSRV {
		for range 1 + s.rng.IntN(60) {
			m.Answer = append(m.Answer, &dns.SRV{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeSRV, Class: dns.ClassINET}, Priority: uint16(n), Target: "a.node.consul.",
			})
		}
	}
	if q.IsEdns0() != nil && s.rng.IntN(2) == 0 {
		m.SetEdns0(1232, false)
	}
	switch s.rng.IntN(20) {
	case 0:
		return // silence
	case 1:
		wrong := m.Copy()
		wrong.Question[0].Name = "evil.example."
		q.send(wrong)
	case 2:
		if s.rng.IntN(5) == 0 {
			wrong := m.Copy()
			wrong.Id ^= 0x5555
			q.send(wrong)
		}
	case 3:
		m.Answer, m.Rcode = nil, dns.RcodeServerFailure
	case 4:
		m.Answer, m.Rcode = nil, dns.RcodeNameError
	case 5:
		m.Question, m.Answer, m.Rcode = nil, nil, dns.RcodeFormatError
	case 6:
		q.send(m) // twice
	case 7:
		m.Answer, m.Truncated = nil, true
	case 8:
		b, _ := m.Pack()
		q.raw(b[:s.rng.IntN(len(b))])
	case 9:
		m.Answer = append(m.Answer, m.Answer...)
	}
	q.send(m)
	s.step()
	s.arrived()
}

// collect takes the answers that have come and compares them with what was asked.
func (s *storm) collect() {
	s.t.Helper()
	s.arrived()
	for k, c := range s.clients {
		for m := c.answer(); m != nil; m = c.answer() {
			key := stormKey{k, m.Id}
			q, ok := s.open[key]
			if !ok {
				s.t.Fatalf("client %d: an answer nobody waits for: %v", k, m)
			}
			delete(s.open, key)
			s.answers++
			if m.Rcode == dns.RcodeServerFailure {
				s.failed++
			}
			if len(m.Question) != 1 || m.Question[0] != q.msg.Question[0] || (m.IsEdns0() != nil) != (q.msg.IsEdns0() != nil) || !m.RecursionAvailable {
				s.t.Fatalf("asked %v\ngot %v", q.msg, m)
			}
			for _, rr := range m.Answer {
				n := 0
				switch rr := rr.(type) {
				case *dns.A:
					n = int(rr.A.To4()[1])<<16 | int(rr.A.To4()[2])<<8 | int(rr.A.To4()[3])
				case *dns.SRV:
					n = int(rr.Priority)
				}
				if n <= q.after {
					s.t.Fatalf("asked after query %d, answered by query %d: %v", q.after, n, m)
				}
				if !strings.EqualFold(rr.Header().Name, q.msg.Question[0].Name) {
					s.t.Fatalf("asked %v\ngot %v", q.msg, m)
				}
			}
		}
	}
}
