package test

import (
	"bytes"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// The address of a true answer, and that of an answer that must not be believed.
const (
	trueAddress   = "192.0.2.1"
	forgedAddress = "203.0.113.66"
)

// forged is the part of a reply that must never reach a client.
var forged = lab.Answers("@ 0 IN A " + forgedAddress)

// A server that takes 700 ms is asked again after 500 ms; its answer to the first
// query is still good.
func TestSlowAnswerIsTaken(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		u := scripted(t, func(a attempt) []lab.Action {
			if a.nth > 1 {
				return nil
			}
			return append([]lab.Action{lab.Delay(700 * time.Millisecond)}, answerWith(trueAddress)...)
		})
		d := startDNSD(t, to(v.flag, u))
		eachNetwork(t, func(t *testing.T, network string) {
			wantAddress(t, d.ask(t, network, ednsQuery(network+"."+v.name, dns.TypeA)), trueAddress)
		})
	})
}

// What comes under a wrong id is an attempt to forge: it is counted, and the query
// moves to TCP, where it cannot be forged blindly.
func TestWrongIDMovesToTCP(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		u := scripted(t, func(a attempt) []lab.Action {
			if !a.TCP {
				return []lab.Action{lab.Reply(lab.WrongID(), forged)}
			}
			return answerWith(trueAddress)
		})
		d := startDNSD(t, to(v.flag, u))
		wantAddress(t, d.ask(t, "udp", ednsQuery(v.name, dns.TypeA)), trueAddress)
		// More than one of each only where an answer took so long that the query was sent again.
		if u.Stats().TCP == 0 {
			t.Error("no query over TCP")
		}
		if d.events(t, u, "mismatch") == 0 {
			t.Error("no mismatch counted")
		}
		if d.metric(t, "panteras_dns_moved_to_tcp_total") == 0 {
			t.Error("no query counted as moved to TCP")
		}
	})
}

// A reply to another question is waited out: the true answer may follow.
func TestWrongQuestionIsWaitedOut(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		next := make(chan struct{})
		u := scripted(t, func(attempt) []lab.Action {
			return append([]lab.Action{lab.Reply(lab.WrongQuestion("other."+v.name), forged), lab.Until(next)}, answerWith(trueAddress)...)
		})
		d := startDNSD(t, to(v.flag, u))
		go func() {
			lab.Eventually(t, patience, "the wrong question to be counted", func() bool { return d.events(t, u, "mismatch") > 0 })
			close(next)
		}()
		wantAddress(t, d.ask(t, "udp", ednsQuery(v.name, dns.TypeA)), trueAddress)
		if n := u.Stats().TCP; n != 0 {
			t.Errorf("%d queries over TCP, want 0: a wrong question is no guessed id", n)
		}
	})
}

// Over TCP a server that answers another question is not waited for. The name is as long as the one that was asked: nothing else is wrong with the answer.
func TestWrongQuestionOverTCP(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		bad := scripted(t, func(attempt) []lab.Action {
			return []lab.Action{lab.Reply(lab.WrongQuestion("x"+v.name[1:]), forged)}
		})
		good := scripted(t, always(trueAddress))
		d := startDNSD(t, to(v.flag, bad, good))
		wantAddress(t, d.ask(t, "tcp", ednsQuery(v.name, dns.TypeA)), trueAddress)
	})
}

// Neither the second copy of an answer nor one to a query that was answered
// meanwhile is taken for a forgery, which would move others to TCP.
func TestDuplicateAndLateAnswers(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		late, sent := make(chan struct{}), make(chan struct{})
		u := scripted(t, func(a attempt) []lab.Action {
			switch {
			case a.name() == "late."+v.name+"." && a.nth == 1:
				return append([]lab.Action{lab.Until(late)}, append(answerWith(forgedAddress), closes(sent))...)
			case a.name() == "twice."+v.name+".":
				return append(answerWith(trueAddress), answerWith(forgedAddress)...)
			}
			return answerWith(trueAddress)
		})
		d := startDNSD(t, to(v.flag, u))
		for range 20 {
			wantAddress(t, d.ask(t, "udp", ednsQuery("twice."+v.name, dns.TypeA)), trueAddress)
		}
		wantAddress(t, d.ask(t, "udp", ednsQuery("late."+v.name, dns.TypeA)), trueAddress)
		close(late)
		<-sent
		for range 20 {
			wantAddress(t, d.ask(t, "udp", ednsQuery("after."+v.name, dns.TypeA)), trueAddress)
		}
		if n := d.events(t, u, "mismatch"); n != 0 {
			t.Errorf("%d mismatches counted, want 0", n)
		}
		if n := u.Stats().TCP; n != 0 {
			t.Errorf("%d queries over TCP, want 0", n)
		}
	})
}

// closes is an action that tells the test that the script has come so far.
func closes(c chan struct{}) lab.Action {
	return lab.Reply(func(*lab.Query, *dns.Msg) { close(c) })
}

// Bytes that are no DNS message are passed over, even under the right id.
func TestGarbageIsWaitedOut(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		u := scripted(t, func(attempt) []lab.Action {
			var actions []lab.Action
			for _, n := range []int{0, 1, 2, 11, 12, 13, 40, 4000} {
				actions = append(actions, lab.Garbage(n))
			}
			return append(actions, answerWith(trueAddress)...)
		})
		d := startDNSD(t, to(v.flag, u))
		wantAddress(t, d.ask(t, "udp", ednsQuery(v.name, dns.TypeA)), trueAddress)
	})
}

// Bytes behind the last record are not part of the message.
func TestTrailingBytesAreDropped(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		u := scripted(t, func(a attempt) []lab.Action {
			reply := new(dns.Msg).SetReply(a.Msg)
			reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: a.Msg.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: []byte{192, 0, 2, 1}}}
			message, err := reply.Pack()
			if err != nil {
				t.Error(err)
			}
			return []lab.Action{lab.Bytes(append(message, "and more"...))}
		})
		d := startDNSD(t, to(v.flag, u))
		eachNetwork(t, func(t *testing.T, network string) {
			query := plainQuery(v.name, dns.TypeA)
			reply := d.ask(t, network, query)
			wantAddress(t, reply, trueAddress)
			raw := d.askRaw(t, network, pack(t, query))
			if bytes.HasSuffix(raw, []byte("and more")) {
				t.Errorf("the bytes behind the message went on to the client: %q", raw)
			}
		})
	})
}

// A datagram that ends within its records is a broken answer: another server is
// asked, and where there is none the client is told at once.
func TestHalfAnswerOverUDP(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		broken := scripted(t, func(attempt) []lab.Action {
			return []lab.Action{lab.HalfThenClose(lab.Answers("@ 0 IN TXT \"a text that is longer than the question, so that the half is within it, whatever the name\""), lab.NoEDNS())}
		})
		good := scripted(t, always(trueAddress))
		d := startDNSD(t, to(v.flag, broken, good))
		wantAddress(t, d.ask(t, "udp", ednsQuery(v.name, dns.TypeA)), trueAddress)
		if d.metric(t, "panteras_dns_dropped_total", `reason="broken_answer"`) == 0 {
			t.Error("no broken answer counted")
		}
		alone := startDNSD(t, to(v.flag, broken))
		within(t, atOnce, "SERVFAIL where there is no other server", func() {
			wantRcode(t, alone.ask(t, "udp", ednsQuery(v.name, dns.TypeA)), dns.RcodeServerFailure)
		})
	})
}
