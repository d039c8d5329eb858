package test

import (
	"strings"
	"testing"

	"panteras/internal/lab"
)

// TestSuccessionBesideAStubResolver is a host on which another server has one address of
// port 53, as systemd-resolved does: a DNS server still follows another one without a gap.
func TestSuccessionBesideAStubResolver(t *testing.T) {
	t.Parallel()
	h := oneHost(t, only("dns")...)
	hold(t, dnsAt("127.0.0.53"))
	h.up(t)
	h.ready(t, "dns")
	before := h.pids()["dns"]
	h.must(t, "restart", "dns")
	lab.Eventually(t, readyTime, "the successor", func() bool {
		pid := h.pids()["dns"]
		return pid != 0 && pid != before
	})
	if st := h.status()["dns"]; !st.Ready || strings.Contains(h.Stderr(), "backoff") {
		t.Errorf("the DNS server after a restart: %+v", st)
	}
	if got := lab.RunDig(t, "@10.7.0.1", "+short", "node-1"); got != "10.7.0.1\n" {
		t.Errorf("it answers %q", got)
	}
}
