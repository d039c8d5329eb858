package test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// pipeline sends n questions at once over one connection and fails the test
// unless each is answered with the address, in whatever order.
func pipeline(t testing.TB, d *dnsd, n int, name, address string) {
	t.Helper()
	conn := &dns.Conn{Conn: dial(t, "tcp", d.addr)}
	_ = conn.SetDeadline(time.Now().Add(3 * patience)) // what is proven is that none is lost
	sent := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < n && err == nil; i++ {
			q := ednsQuery(fmt.Sprintf("n%d.%s", i, name), dns.TypeA)
			q.Id = uint16(i)
			err = conn.WriteMsg(q)
		}
		sent <- err
	}()
	answered := make([]bool, n)
	for range n {
		reply, err := conn.ReadMsg()
		if err != nil {
			t.Fatalf("a query was lost: %v", err)
		}
		if want := fmt.Sprintf("n%d.%s.", reply.Id, name); reply.Question[0].Name != want || answered[reply.Id] {
			t.Fatalf("the reply to query %d is about %s (already answered: %v)", reply.Id, reply.Question[0].Name, answered[reply.Id])
		}
		answered[reply.Id] = true
		if err := hasAddress(reply, address); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// Consul serves one query at a time and closes the connection after 128: no query
// is lost to that, however many are on their way.
func TestConsulClosesAfter128(t *testing.T) {
	t.Parallel()
	u := scripted(t, always(trueAddress), lab.LikeConsul119())
	d := startDNSD(t, to("--consul-dns", u))
	pipeline(t, d, 1000, "service.consul", trueAddress)
	if s := u.Stats(); s.Connections < 8 || s.UDP > 20 {
		t.Errorf("%d connections and %d datagrams, want 1000 queries over TCP on 8 connections at least", s.Connections, s.UDP)
	}
}

// A server may close earlier, and in the middle of what was sent to it.
func TestServerClosesOften(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		u := scripted(t, always(trueAddress), lab.TCPLimit(50))
		d := startDNSD(t, to(v.flag, u))
		pipeline(t, d, 300, v.name, trueAddress)
	})
}

func TestSerialTCP(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		u := scripted(t, func(attempt) []lab.Action {
			return append([]lab.Action{lab.Delay(5 * time.Millisecond)}, answerWith(trueAddress)...)
		}, lab.SerialTCP())
		d := startDNSD(t, to(v.flag, u))
		pipeline(t, d, 200, v.name, trueAddress)
	})
}

// A connection that breaks takes its queries to the next one.
func TestConnectionBreaks(t *testing.T) {
	for what, broken := range map[string]lab.Action{
		"reset":                 lab.Reset(),
		"closed":                lab.CloseConn(),
		"half an answer":        lab.HalfThenClose(forged),
		"a frame of two bytes":  lab.Bytes([]byte{1, 2}),
		"an empty frame":        lab.Bytes(nil),
		"garbage, then a reset": lab.Garbage(40),
	} {
		t.Run(what, func(t *testing.T) {
			eachRoute(t, func(t *testing.T, v via) {
				u := scripted(t, func(a attempt) []lab.Action {
					if a.TCP && a.nth == 1 {
						return []lab.Action{broken, lab.Reset()}
					}
					return answerWith(trueAddress)
				})
				d := startDNSD(t, to(v.flag, u))
				reply := d.ask(t, "tcp", ednsQuery(v.name, dns.TypeA))
				if what == "garbage, then a reset" { // an answer to something else, from the only server
					wantServFail(t, reply)
					return
				}
				wantAddress(t, reply, trueAddress)
			})
		})
	}
}

// Frames may come in pieces of any size.
func TestBytewiseFrames(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		u := scripted(t, func(attempt) []lab.Action {
			return []lab.Action{lab.Bytewise(lab.Answers("@ 0 IN A " + trueAddress))}
		})
		d := startDNSD(t, to(v.flag, u))
		pipeline(t, d, 20, v.name, trueAddress)
	})
}

// A truncated answer goes to the client of UDP as it is, who asks over TCP then:
// no one but the client decides that.
func TestTruncatedIsPassedOn(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		u := scripted(t, func(a attempt) []lab.Action {
			if !a.TCP {
				return []lab.Action{lab.Reply(lab.Truncated())}
			}
			return answerWith(trueAddress)
		})
		d := startDNSD(t, to(v.flag, u))
		reply := d.ask(t, "udp", ednsQuery(v.name, dns.TypeA))
		if !reply.Truncated || len(reply.Answer) != 0 || reply.Rcode != dns.RcodeSuccess {
			t.Errorf("want TC=1 and no records, got:\n%v", reply)
		}
		if n := u.Stats().TCP; n != 0 {
			t.Errorf("%d queries over TCP for a client of UDP, want 0", n)
		}
		wantAddress(t, d.ask(t, "tcp", ednsQuery(v.name, dns.TypeA)), trueAddress)
	})
}

// TCP in is TCP out, and a server that has no TCP port is not asked over UDP
// behind the client's back.
func TestTCPStaysTCP(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		u := scripted(t, always(trueAddress))
		d := startDNSD(t, to(v.flag, u))
		wantAddress(t, d.ask(t, "tcp", ednsQuery(v.name, dns.TypeA)), trueAddress)
		if n := u.Stats().TCP; n != 1 {
			t.Errorf("%d queries over TCP, want 1", n)
		}
		u.CloseTCP()
		wantServFail(t, d.ask(t, "tcp", ednsQuery("again."+v.name, dns.TypeA)))
		if n := u.Asked("again."+v.name, dns.TypeA); n != 0 {
			t.Errorf("asked %d times over UDP", n)
		}
		wantAddress(t, d.ask(t, "udp", ednsQuery("again."+v.name, dns.TypeA)), trueAddress)
	})
}

// Descriptors of dead connections are given back.
func TestConnectionsAreReused(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		u := scripted(t, always(trueAddress))
		d := startDNSD(t, to(v.flag, u))
		conn := dial(t, "tcp", d.addr).(*net.TCPConn)
		for i := range 100 {
			write(t, conn, pack(t, ednsQuery(fmt.Sprintf("n%d.%s", i, v.name), dns.TypeA)))
			wantAddress(t, unpack(t, read(t, conn)), trueAddress)
		}
		if n := u.Stats().Connections; n > 2 {
			t.Errorf("%d connections for 100 queries one after the other, want one", n)
		}
	})
}
