package test

import (
	"context"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"
)

// byItself is how long a client may take that has to find out by itself that its session is
// gone: KEEPALIVE_TIMEOUT and REKEY_TIMEOUT without an answer, 15 s, and REKEY_TIMEOUT more for
// each handshake that is lost, of which one may be (WireGuard's paper, 6.1 to 6.5); beside that a
// ping, and a machine that is busy.
const byItself = 25 * time.Second

// The gateway's clock is set an hour forth, back, and an hour back. Nobody loses access by
// that, nobody gets it back, it ends when it should have, and new sessions begin.
func TestTunnelClockJumps(t *testing.T) {
	t.Parallel()
	l := newTunnelLab(t)
	l.program = clocked(t)
	set := func(by time.Duration) {
		t.Helper()
		before := strings.Count(l.process.Stderr(), "the host's clock was set")
		l.gateway.do(t, func() { setClock(t, by) })
		lab.Eventually(t, patience, "a word about the clock", func() bool {
			return strings.Count(l.process.Stderr(), "the host's clock was set") > before
		})
	}
	expiring := func(name string, after time.Duration) *peer {
		return l.add(name, func(p *tunnel.Peer) { p.Expires = time.Now().Add(after) })
	}
	has := func(p *peer) bool {
		keys := strings.Fields(l.gateway.run(t, "wg", "show", tunnelInterface, "peers"))
		return slices.Contains(keys, p.kept.PublicKey.String()) && strings.Contains(l.gateway.run(t, "nft", "list", "set", "inet", "panteras", "peers4"), p.v4())
	}
	// follows waits until the gateway has followed a change of the store.
	follows := func(name string) {
		t.Helper()
		fresh := l.add(name, nil)
		lab.Eventually(t, patience, name+" to have access", func() bool { return has(fresh) })
	}
	// another takes a peer's session away, so that a new one has to begin.
	another := func(p *peer) {
		t.Helper()
		for _, disabled := range []bool{true, false} {
			if _, err := l.store.Update(context.Background(), p.name, func(p *tunnel.Peer) error { p.Disabled = disabled; return nil }); err != nil {
				t.Fatal(err)
			}
			lab.Eventually(t, patience, "the change to be in force", func() bool { return has(p) != disabled })
		}
	}
	l.gateway.do(t, func() { setClock(t, 0) })
	l.start()
	l.service.serve(t, serviceAddr+":80", func(c net.Conn) { // little, so that many connections cost nothing
		for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
			if _, err := c.Write([]byte("more")); err != nil {
				tick.Stop()
				return
			}
		}
	})
	alice, bob := l.add("alice", nil), expiring("bob", 30*time.Minute)
	gone := expiring("gone", 3*time.Second)
	alice.connect(l.client)
	got := l.client.download(t, serviceAddr+":80")
	lab.Eventually(t, patience, "somebody to expire", func() bool { return !has(gone) })

	// The gateway calls on a peer with a message of type 1 (WireGuard's paper, 5.4.2).
	calls := l.client.counter(t, "calls", `iifname "eth0" udp sport 51820 udp length 156 @th,64,32 0x1000000`)
	// back returns how long it takes until there is a session again. The connections of before
	// go on later: TCP waits twice as long for each segment that it sends again (RFC 6298, 5.5),
	// so as long again, at worst, as they have been away. A new one does not.
	back := func() time.Duration {
		t.Helper()
		began := time.Now()
		lab.Eventually(t, byItself, "a new session", func() bool { return l.client.pings(t, tunnelGateway) })
		took := time.Since(began)
		got = l.client.download(t, serviceAddr+":80")
		return took
	}
	goesOn := func(what string) (took time.Duration) {
		t.Helper()
		follows("fresh-" + strings.ReplaceAll(what, " ", "-"))
		if !has(bob) {
			t.Errorf("%s: who has half an hour left lost access", what)
		}
		if has(gone) {
			t.Errorf("%s: who had expired is back", what)
		}
		flows(t, got)
		before := calls()
		another(alice)
		took = back()
		if calls() == before {
			t.Errorf("%s: the peer was not called on", what)
		}
		t.Logf("%s: a new session took %v", what, took)
		return took
	}
	// A peer that is called on need not wait for what WireGuard waits for by itself, 15 s; nor for
	// another call, which comes after 5 s.
	soon := func(what string) {
		t.Helper()
		if took := goesOn(what); took > 4*time.Second {
			t.Errorf("%s: the peer was away for %v", what, took)
		}
	}
	soon("right")
	set(time.Hour)
	soon("an hour forth")
	// Now what the gateway begins looks older than what the client has seen (TAI64N), so the
	// client does not answer; what the client begins counts by its own clock.
	set(0)
	goesOn("right again")
	brief := expiring("brief", 8*time.Second)
	lab.Eventually(t, patience, "brief to have access", func() bool { return has(brief) })
	set(-time.Hour)
	lab.Eventually(t, patience, "brief to expire", func() bool { return !has(brief) })
	if late := time.Since(brief.kept.Expires); late < 0 || late > 5*time.Second {
		t.Errorf("who should have expired at %v lost access %v after that", brief.kept.Expires, late)
	}
	goesOn("an hour back")
	// A gateway that starts with such a clock knows better: it remembers what time it was.
	l.process.Signal(syscall.SIGKILL)
	<-l.process.Done()
	l.start()
	follows("after-a-start")
	if has(gone) || has(brief) || !has(bob) {
		t.Errorf("after a start with a clock that is an hour late: gone %v, brief %v, bob %v", has(gone), has(brief), has(bob))
	}
	t.Logf("after a start: a new session took %v", back())
}
