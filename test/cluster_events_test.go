package test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
)

const (
	// gatewayBack is how soon a laptop is back that has lost its gateway, splitOver how soon
	// after the end of a split, and slow how soon after anything else, on a machine that does
	// much else.
	gatewayBack = 20 * time.Second
	splitOver   = time.Minute
	slow        = 10 * time.Second
)

// testMasterLost loses a master that does not lead.
func testMasterLost(t *testing.T, l *logbook) {
	leader := l.o.leader(t, l.o.nodes[4])
	lost := others(l.o.masters(), leader)[0]
	l.lose(t, "a master that does not lead Consul loses power", lost, slow, "a new machine takes its place", func() {
		// Another machine with the same files comes in its place.
		if err := os.RemoveAll(lost.path("state")); err != nil {
			t.Fatal(err)
		}
	})
}

// testLeaderLost loses the master that leads Consul.
func testLeaderLost(t *testing.T, l *logbook) {
	lost := l.o.leader(t, l.o.nodes[4])
	l.lose(t, "the master that leads Consul loses power", lost, slow, "it comes back", func() {})
}

// testSlaveLost loses the slave that does not hold the floating address.
func testSlaveLost(t *testing.T, l *logbook) {
	lost := others(l.o.slaves(), l.o.holder(t))[0]
	l.lose(t, "a slave loses power, whose gateway stands by", lost, slow, "it comes back", func() {})
}

// testGatewayLost loses the slave that does.
func testGatewayLost(t *testing.T, l *logbook) {
	lost := l.o.holder(t)
	if n := l.lose(t, "the slave loses power whose gateway is in use", lost, gatewayBack, "it comes back, and stands by", func() {}); n.failed == 0 {
		t.Error("the gateway is lost, and the laptop has not noticed: it was not in use")
	}
}

// lose is a power cut on a host, and its end.
func (l *logbook) lose(t *testing.T, what string, lost *node, bound time.Duration, end string, between func()) noticed {
	t.Helper()
	n := l.asWritten(t, what, bound, func() { l.o.losePower(t, lost) })
	between()
	l.asWritten(t, end, slow, func() { l.o.comeBack(t, lost); l.o.whole(t) })
	return n["page"]
}

// testNetworkSplit takes the master that leads and the slave whose gateway is in use from
// the others: the worst two that can be in a minority.
func testNetworkSplit(t *testing.T, l *logbook) {
	leader, holder := l.o.leader(t, l.o.nodes[4]), l.o.holder(t)
	l.asWritten(t, "the network is split", gatewayBack, func() { l.o.split(t, leader, holder) })
	for _, h := range []*node{leader, holder} {
		lab.Eventually(t, readyTime, "that "+h.name+" takes no writes", func() bool {
			return strings.Contains(h.putKey(t, "split", "minority"), "No cluster leader")
		})
		for _, question := range [][]string{{"A"}, {"SRV"}} {
			got := ""
			lab.Eventually(t, readyTime, h.name+" to answer by what it knows", func() bool {
				h.at.do(t, func() { got = lab.RunDig(t, append([]string{"@" + h.ip, "+short", python}, question...)...) })
				return got != "" && !strings.Contains(got, ";")
			})
			t.Logf("%s, in the minority, says of %s %s: %q", h.name, python, question[0], got)
		}
	}
	page := holder.at.run(t, "curl", "-sS", "--max-time", "5", "-H", "Host: "+python, "http://"+holder.ip+"/")
	if !strings.HasSuffix(page, ": GET /\n") {
		t.Errorf("HAProxy in the minority says %q", page)
	}
	majority := others(l.o.masters(), leader)[0]
	if said := majority.putKey(t, "split", "majority"); said != "true" {
		t.Errorf("the majority does not take a write: %s", said)
	}
	l.asWritten(t, "the split ends", splitOver, func() { l.o.split(t); l.o.whole(t) })
	for _, h := range l.o.nodes {
		lab.Eventually(t, readyTime, "what the majority wrote at "+h.name, func() (same bool) {
			h.at.do(t, func() { same = httpGet(h.ip+":8500", "/v1/kv/split?raw") == "majority" })
			return same
		})
	}
}

// putKey writes a key at a host's Consul and returns what that says.
func (n *node) putKey(t *testing.T, key, value string) (said string) {
	t.Helper()
	n.at.do(t, func() { said = strings.TrimSpace(httpDo("PUT", n.ip+":8500", "/v1/kv/"+key, value)) })
	return said
}

// testRollingUpgrade gives every host another build, one after the other.
func testRollingUpgrade(t *testing.T, l *logbook) {
	next := build(t, "panteras-next", "./cmd/panteras", "-ldflags=-X main.version=the-next-one")
	l.asWritten(t, "`panteras upgrade` on all five", slow, func() {
		for _, h := range l.o.nodes {
			before := h.pids()
			if err := os.Link(shared(t, next), h.path("panteras-new")); err != nil {
				t.Fatal(err)
			}
			for i, c := range l.page["A new panteras"] {
				if out := h.shell(t, c.command); i == 0 && !strings.Contains(out, "to the-next-one") {
					t.Errorf("%s on %s says %q", c.command, h.name, out)
				}
			}
			h.ready(t, slices.Sorted(maps.Keys(before))...)
			for name, pid := range h.pids() {
				if name != "dns" && name != "tunnel" && pid != before[name] {
					t.Errorf("%s on %s was restarted by an upgrade", name, h.name)
				}
			}
		}
	})
	delete(l.page, "A new panteras")
}
