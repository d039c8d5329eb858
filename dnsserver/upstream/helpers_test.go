package upstream

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"panteras/internal/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what comes soon on any machine.
const patience = 20 * time.Second

// probeName is what the upstreams of these tests are probed with.
const probeName = "probe.consul."

func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newUpstream(t testing.TB, addr netip.AddrPort) *Upstream {
	t.Helper()
	probe := pack(t, new(dns.Msg).SetQuestion(probeName, dns.TypeSOA))
	u := New(addr, true, true, probe, slog.New(slog.DiscardHandler))
	t.Cleanup(u.Close)
	return u
}

// outcome is what an exchange ended with.
type outcome struct {
	reply *dns.Msg
	err   error
}

// start asks over TCP; the outcome comes through the channel, which has room for a second one that must not come.
func start(t testing.TB, u *Upstream, q *dns.Msg, wait time.Duration) chan outcome {
	t.Helper()
	out := make(chan outcome, 2)
	u.Exchange(pack(t, q), time.Now().Add(wait), func(reply []byte, err error) {
		o := outcome{err: err}
		if err == nil {
			o.reply = new(dns.Msg)
			o.err = o.reply.Unpack(reply)
		}
		out <- o
	})
	return out
}

// end waits for an outcome.
func end(t testing.TB, c chan outcome) outcome {
	t.Helper()
	select {
	case o := <-c:
		return o
	case <-time.After(patience):
		t.Fatal("an exchange does not end")
		return outcome{}
	}
}

func question(name string) *dns.Msg { return new(dns.Msg).SetQuestion(name, dns.TypeA) }

// silent is an upstream that swallows everything but what it is told to answer.
func silent(t testing.TB, answers func(q *lab.Query) bool) *lab.Upstream {
	t.Helper()
	return lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
		if answers != nil && answers(q) {
			return []lab.Action{lab.Reply()}
		}
		return nil
	})
}
