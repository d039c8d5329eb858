package test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// Deadlines that are behaviour. atOnce is a failure without a wait for an answer
// (a query without one ends after 4.5 s); soon is the second in which a server that
// came back is in use again. Both with room for a busy machine.
const (
	atOnce = 4 * time.Second
	soon   = 4 * time.Second
)

// within runs f and fails the test if it took longer.
func within(t testing.TB, d time.Duration, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > d {
		t.Errorf("%s took %v, want less than %v", what, took, d)
	}
}

// wantServFail fails the test unless the answer is SERVFAIL and says why.
func wantServFail(t testing.TB, reply *dns.Msg) {
	t.Helper()
	wantRcode(t, reply, dns.RcodeServerFailure)
	if code := extendedError(reply); code != 22 && code != 23 {
		t.Errorf("extended error %d, want 22 (no reachable authority) or 23 (network error):\n%v", code, reply)
	}
}

// A closed port is told by the network: SERVFAIL at once, and not a timeout.
func TestRefusedIsServFailAtOnce(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		u := scripted(t, always(trueAddress))
		u.CloseUDP()
		u.CloseTCP()
		d := startDNSD(t, to(v.flag, u))
		eachNetwork(t, func(t *testing.T, network string) {
			for range 5 {
				within(t, atOnce, "SERVFAIL for a closed port", func() {
					wantServFail(t, d.ask(t, network, ednsQuery(v.name, dns.TypeA)))
				})
			}
		})
		if n := d.events(t, u, "timeout"); n != 0 {
			t.Errorf("%d timeouts counted, want 0", n)
		}
		if d.events(t, u, "unreachable") == 0 {
			t.Error("no unreachable error counted")
		}
	})
}

// Where there is another server, it is asked without waiting for a timer.
func TestRefusedFailsOverAtOnce(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		dead, good := scripted(t, always(forgedAddress)), scripted(t, always(trueAddress))
		dead.CloseUDP()
		dead.CloseTCP()
		eachNetwork(t, func(t *testing.T, network string) {
			d := startDNSD(t, to(v.flag, dead, good))
			for range 5 {
				wantAddress(t, d.ask(t, network, ednsQuery(v.name, dns.TypeA)), trueAddress)
			}
			if n := d.events(t, dead, "unreachable"); n == 0 {
				t.Error("the dead server was never tried")
			}
			if n := d.events(t, dead, "timeout"); n != 0 {
				t.Errorf("the dead server was waited for: %d timeouts counted", n)
			}
		})
	})
}

// A silent server is given up for another one.
func TestSilentFailsOver(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		mute, good := scripted(t, noAnswer), scripted(t, always(trueAddress))
		d := startDNSD(t, to(v.flag, mute, good))
		eachNetwork(t, func(t *testing.T, network string) {
			wantAddress(t, d.ask(t, network, ednsQuery(v.name, dns.TypeA)), trueAddress)
		})
		if mute.Asked(v.name, dns.TypeA) == 0 {
			t.Error("the silent server was never tried")
		}
	})
}

// A client of a silent server gets SERVFAIL before it gives up itself, after 5 s.
func TestSilentIsServFailInTime(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		u := scripted(t, noAnswer)
		d := startDNSD(t, to(v.flag, u))
		var both sync.WaitGroup
		for _, network := range []string{"udp", "tcp"} {
			both.Go(func() {
				within(t, 10*time.Second, "SERVFAIL for a silent server over "+network, func() {
					reply, err := exchange(network, d.addr, ednsQuery(v.name, dns.TypeA))
					if err != nil {
						t.Errorf("%s: %v", network, err)
						return
					}
					if reply.Rcode != dns.RcodeServerFailure || extendedError(reply) < 22 {
						t.Errorf("%s: want SERVFAIL that says why, got:\n%v", network, reply)
					}
				})
			})
		}
		both.Wait()
	})
}

// After some timeouts in a row nobody waits for a dead server any more, except a
// probe, which notices when it is back. Names of other servers do not suffer.
func TestDownAndBack(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		var dead atomic.Bool
		var probes atomic.Int64
		dead.Store(true)
		u := lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
			if isProbe(attempt{Query: q}) {
				probes.Add(1)
			}
			if dead.Load() {
				return nil
			}
			return answerWith(trueAddress)
		})
		other := bothRoutes[0]
		if v.route == other.route {
			other = bothRoutes[1]
		}
		d := startDNSD(t, to(v.flag, u), to(other.flag, scripted(t, always("192.0.2.77"))))
		unharmed := startLoad(t, d.addr, asker{network: "udp", names: []string{other.name}, address: "192.0.2.77"}, asker{network: "tcp", names: []string{other.name}, address: "192.0.2.77"})

		var waiting sync.WaitGroup
		for i := range 4 {
			waiting.Go(func() { _, _ = exchange("udp", d.addr, ednsQuery(fmt.Sprintf("first%d.%s", i, v.name), dns.TypeA)) })
		}
		lab.Eventually(t, patience, "the silent server to count as down", func() bool { return !d.up(t, u) })
		before := probes.Load()
		for i := range 20 {
			for _, network := range []string{"udp", "tcp"} {
				name := fmt.Sprintf("down%d.%s", i, v.name)
				within(t, atOnce, "SERVFAIL while the server is down", func() { wantServFail(t, d.ask(t, network, ednsQuery(name, dns.TypeA))) })
				if n := u.Asked(name, dns.TypeA); n != 0 {
					t.Errorf("%s was asked %d times of a server that is down", name, n)
				}
			}
		}
		lab.Eventually(t, soon, "a probe to be sent while the server is down", func() bool { return probes.Load() > before })

		dead.Store(false)
		within(t, soon, "coming back", func() {
			lab.Eventually(t, patience, "an answer of the server that is back", func() bool {
				reply, err := exchange("udp", d.addr, ednsQuery(v.name, dns.TypeA))
				return err == nil && hasAddress(reply, trueAddress) == nil
			})
		})
		wantAddress(t, d.ask(t, "tcp", ednsQuery(v.name, dns.TypeA)), trueAddress)
		waiting.Wait()
		unharmed.stopAndCheck(t)
	})
}
