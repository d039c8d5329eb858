package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"panteras/internal/lab"
	"panteras/tunnel"
)

// lines counts the lines of the log about a peer.
func (r *rig) lines(message, peer string) int {
	n := 0
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, `msg="`+message+`" `) && strings.Contains(line, " audit=true peer="+peer+" ") {
			n++
		}
	}
	return n
}

// update changes a peer in the store.
func (r *rig) update(name string, change func(*tunnel.Peer)) {
	r.t.Helper()
	if _, err := r.store.Update(context.Background(), name, func(p *tunnel.Peer) error { change(p); return nil }); err != nil {
		r.t.Fatal(err)
	}
}

// atWire waits until exactly these peers are at the interface.
func (r *rig) atWire(peers ...tunnel.Peer) {
	r.t.Helper()
	var want []string
	for _, p := range peers {
		want = append(want, keyAndAddress(&p))
	}
	slices.Sort(want)
	lab.Eventually(r.t, testPatience, "the interface to have the right peers", func() bool {
		got, _ := r.host.access()
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

// While the firewall cannot be changed nobody is let in, but those who should be out are,
// by the interface. The audit log tells both, once, and what comes into force when it does.
func TestWhereTheFirewallFailsAccessOnlyEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	peers := map[string]tunnel.Peer{}
	for _, name := range []string{"removed", "disabled", "rotated", "narrowed", "stays"} {
		peers[name] = r.add(name, nil)
	}
	r.start()
	r.have(peers["removed"], peers["disabled"], peers["rotated"], peers["narrowed"], peers["stays"])
	r.host.look(func() { r.host.failing = errBroken })
	if _, err := r.store.Remove(t.Context(), "removed"); err != nil {
		t.Fatal(err)
	}
	r.update("disabled", func(p *tunnel.Peer) { p.Disabled = true })
	rotated, err := r.store.Rotate(t.Context(), "rotated", "", tunnel.PublicKey{1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	less, err := tunnel.ParseRule("10.210.0.7/32:tcp/80")
	if err != nil {
		t.Fatal(err)
	}
	r.update("narrowed", func(p *tunnel.Peer) { p.Allow = []tunnel.Rule{less} })
	added := r.add("added", nil)
	r.atWire(peers["stays"])
	const failed = "not in force: "
	lab.Eventually(t, testPatience, "the failure to be in the audit log", func() bool { return r.lines(failed+"peer has access", "added") == 1 })
	tries := r.host.tries("rules")
	lab.Eventually(t, testPatience, "more attempts", func() bool { return r.host.tries("rules") > tries+2 })
	expect := func(message, peer string, want int) {
		t.Helper()
		if got := r.lines(message, peer); got != want {
			t.Errorf("%q of %s is %d times in the log, want %d:\n%s", message, peer, got, want, r.log)
		}
	}
	expect("peer removed", "removed", 1)
	expect("peer disabled", "disabled", 1)
	for _, peer := range []string{"added", "rotated"} {
		expect("peer has access", peer, map[string]int{"rotated": 1}[peer])
	}
	expect("peer has another key", "rotated", 0)
	expect("peer's access changed", "narrowed", 0)
	expect(failed+"peer has access", "added", 1)
	expect(failed+"peer has another key", "rotated", 1)
	expect(failed+"peer's access changed", "narrowed", 1)

	r.host.look(func() { r.host.failing = nil })
	r.have(rotated, peers["narrowed"], peers["stays"], added)
	lab.Eventually(t, testPatience, "the changes to be in the audit log", func() bool { return r.lines("peer has access", "added") == 1 })
	expect("peer has another key", "rotated", 1)
	expect("peer's access changed", "narrowed", 1)
	expect("peer removed", "removed", 1)
	expect("peer has access", "stays", 1)

	// Where the interface fails the firewall keeps out who should be.
	r.host.look(func() { r.host.wireFail = errBroken })
	late := r.add("late", nil)
	if _, err := r.store.Remove(t.Context(), "stays"); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, testPatience, "the removal to be in the audit log", func() bool { return r.lines("peer removed", "stays") == 1 })
	lab.Eventually(t, testPatience, "the failure to be in the audit log", func() bool { return r.lines(failed+"peer has access", "late") == 1 })
	if _, rules := r.host.access(); slices.Contains(rules, peers["stays"].Addresses[0].String()) {
		t.Error("who was removed is in the rules")
	}
	expect("peer has access", "late", 0)
	r.host.look(func() { r.host.wireFail = nil })
	r.have(rotated, peers["narrowed"], added, late)
	lab.Eventually(t, testPatience, "the change to be in the audit log", func() bool { return r.lines("peer has access", "late") == 1 })
}

// Where the firewall cannot be changed and its table is not there, nobody is at the interface:
// the host forwards, and there is nothing that would hold them back. All come back with it.
func TestWithoutATableNobodyHasAccess(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	alice, bob := r.add("alice", nil), r.add("bob", nil)
	r.start()
	r.have(alice, bob)
	r.host.look(func() { r.host.lost, r.host.failing = true, errBroken })
	r.atWire()
	lab.Eventually(t, testPatience, "it to be logged", func() bool { return strings.Contains(r.log.String(), "nobody has access until they are") })
	r.host.look(func() { r.host.failing = nil })
	r.have(alice, bob)
	// With its table in force they stay.
	r.host.look(func() { r.host.failing = errBroken })
	if _, err := r.store.Remove(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	r.atWire(alice)
	if got := r.lines("peer removed", "alice"); got != 0 {
		t.Errorf("alice was removed %d times, says the audit log", got)
	}
}

// Of many changes at once only the number is logged, and each with LOG_LEVEL=debug.
func TestManyChangesAreLoggedAsANumber(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		peers   int
		level   slog.Level
		each    int
		summary string
	}{
		{auditMany, slog.LevelInfo, auditMany, ""},
		{auditMany + 1, slog.LevelInfo, 0, `msg="access of many peers changed" audit=true peers=101`},
		{auditMany + 1, slog.LevelDebug, auditMany + 1, `msg="access of many peers changed" audit=true peers=101`},
	} {
		r := newRig(t)
		r.level = c.level
		for i := range c.peers {
			r.add(fmt.Sprint("peer", i), nil)
		}
		r.start()
		lab.Eventually(t, testPatience, "everybody to be let in", func() bool {
			list, _ := r.host.access()
			return len(list) == c.peers
		})
		if err := r.end(); err != nil {
			t.Fatal(err)
		}
		log := r.log.String()
		if got := strings.Count(log, `msg="peer has access" audit=true`); got != c.each {
			t.Errorf("%d peers at level %s: %d lines, want %d", c.peers, c.level, got, c.each)
		}
		if got := strings.Count(log, "access of many peers changed"); got != min(len(c.summary), 1) || !strings.Contains(log, c.summary) {
			t.Errorf("%d peers at level %s: the number is logged %d times", c.peers, c.level, got)
		}
	}
}
