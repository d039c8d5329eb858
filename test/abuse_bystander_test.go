package test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// bystander is a client that means well while others do not.
type bystander struct {
	server  netip.AddrPort
	name    string
	address string
}

// asked is what became of a bystander's questions.
type asked struct {
	took []time.Duration // until the answer, sorted
	lost int             // datagrams without an answer: asked again, as stub resolvers do
}

// The patience of a stub resolver (resolv.conf(5)): 5 s, and more than one attempt.
const (
	stubTimeout  = 5 * time.Second
	stubAttempts = 4
)

// ask asks n questions over UDP, one after the other, each of which must be answered.
func (b bystander) ask(t testing.TB, n int) asked {
	t.Helper()
	conn, err := net.Dial("udp", b.server.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var a asked
	for range n {
		took, attempts, err := b.once(&dns.Conn{Conn: conn, UDPSize: dns.MaxMsgSize})
		if err != nil {
			t.Fatalf("a bystander: %v", err)
		}
		a.took = append(a.took, took)
		a.lost += attempts - 1
	}
	slices.Sort(a.took)
	return a
}

func (b bystander) once(conn *dns.Conn) (took time.Duration, attempts int, err error) {
	start := time.Now()
	for attempts = 1; attempts <= stubAttempts; attempts++ {
		query := ednsQuery(b.name, dns.TypeA)
		_ = conn.SetDeadline(time.Now().Add(stubTimeout))
		if err = conn.WriteMsg(query); err != nil {
			return 0, attempts, err
		}
		for {
			var reply *dns.Msg
			if reply, err = conn.ReadMsg(); err != nil {
				break // too late: once more
			}
			if reply.Id == query.Id {
				return time.Since(start), attempts, hasAddress(reply, b.address)
			}
		}
	}
	return 0, attempts, fmt.Errorf("no answer to %d attempts: %w", stubAttempts, err)
}

// at is the latency that a share of the answers, of 1, came within.
func (a asked) at(share float64) time.Duration {
	return a.took[min(int(share*float64(len(a.took))), len(a.took)-1)]
}

// What a bystander must not suffer: it was answered so many times faster before (the figures are for people, this is a stall), and so many of a hundred of its
// datagrams were lost, which costs it 5 s each.
const (
	mostSlower = 20
	mostLost   = 1
)

// tell says what an abuse that goes on does to a bystander, and fails the test where that is more than slower answers.
func tell(t testing.TB, abuse string, before, during asked) {
	t.Helper()
	slowdown := lab.Slowdown(t)
	t.Logf("%s: a bystander's latency before p50 %v p99 %v, during p50 %v p99 %v (%.1f and %.1f times), %d datagrams lost; slowdown %.1f",
		abuse, before.at(.5), before.at(.99), during.at(.5), during.at(.99),
		float64(during.at(.5))/float64(before.at(.5)), float64(during.at(.99))/float64(before.at(.99)), during.lost, slowdown)
	if times := float64(during.at(.5)) / float64(before.at(.5)); times > mostSlower*slowdown {
		t.Errorf("%s: a bystander's answers take %.1f times as long as before (median), want at most %d times", abuse, times, mostSlower)
	}
	if most := len(during.took) * mostLost / 100; during.lost > most {
		t.Errorf("%s: a bystander lost %d of %d datagrams, want at most %d", abuse, during.lost, len(during.took), most)
	}
}

// bystanderQuestions are enough for a p99.
const bystanderQuestions = 500
