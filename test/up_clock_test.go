package test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
	"panteras/launcher"
)

// TestUpClockJumps sets the clock an hour forth and an hour back.
func TestUpClockJumps(t *testing.T) {
	t.Parallel()
	program := clocked(t)
	h := oneHost(t, append(only("consul", "dns", "marathon", "chronos"), "DNS_LISTEN=10.7.0.1:53")...)
	withDocker(t) // a /run of its own
	setClock(t, 0)
	h.remove(t, "panteras")
	h.install(t, "panteras", program)
	h.misbehave(t, "marathon", "alone")
	h.misbehave(t, "chronos", "alone", "exit 1")
	h.up(t)
	h.ready(t, "consul", "dns", "marathon")
	before := h.pids()
	delete(before, "chronos")
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		h.run(t, "start", "chronos") // its countdown begins anew, with a second
		waiting := h.state(t, "chronos", launcher.StateBackoff)
		told := strings.Count(h.Stderr(), "the system clock was set")
		setClock(t, by)
		h.is(t, "chronos", "started again after its countdown", func(d launcher.DaemonStatus) bool { return d.Restarts > waiting.Restarts })
		lab.Eventually(t, patience, "an answer for consul.service.consul", func() bool {
			a, err := ask(dnsAt("10.7.0.1"), question{"consul.service.consul.", dns.TypeA, transport{network: "udp"}})
			return err == nil && len(a.Answer) > 0
		})
		lab.Eventually(t, patience, "a word about the clock", func() bool {
			return strings.Count(h.Stderr(), "the system clock was set") > told
		})
		h.ready(t, "consul", "dns", "marathon")
		after := h.pids()
		delete(after, "chronos")
		if !maps.Equal(before, after) {
			t.Errorf("at %v: processes were %v and are %v", by, before, after)
		}
	}
	h.kill(t, before["marathon"]) // one that fails while the clock is wrong is back as ever
	h.is(t, "marathon", "ready again", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != before["marathon"] })
	h.must(t, "reload")
	h.must(t, "upgrade")
	h.is(t, "consul", "still the same process", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid == before["consul"] })
	setClock(t, time.Hour) // between what was handed over, which has no monotonic clock, and now
	h.ready(t, "consul", "dns", "marathon")
	h.run(t, "start", "chronos")
	waiting := h.state(t, "chronos", launcher.StateBackoff)
	h.is(t, "chronos", "started again", func(d launcher.DaemonStatus) bool { return d.Restarts > waiting.Restarts })
}
