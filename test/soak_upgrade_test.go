package test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/launcher"
)

// TestSoakUpgrade replaces the program of a host again and again while its DNS server is asked at the rate of the soak, and over TCP: no query is lost, and none gets another answer than its own.
func TestSoakUpgrade(t *testing.T) {
	t.Parallel()
	duration, rate := soakPlan(t)
	h := oneHost(t, only("dns")...)
	upstream := lab.Port(t)
	h.env = append(h.env, fmt.Sprintf("DNS_UPSTREAMS=127.0.0.1:%d", upstream))
	udp, tcp := hold(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), upstream))
	serveQuickly(t, udp, func([]byte) bool { return true }, 0)
	serveStreams(t, tcp)
	h.up(t)
	h.ready(t, "dns")
	programs := []string{h.path("v2", "panteras"), filepath.Join(h.bin, "panteras")} // and back again
	err := os.Mkdir(h.path("v2"), 0o755)
	if err == nil {
		err = os.Link(build(t, "panteras-next", "./cmd/panteras", "-ldflags=-X main.version=the-next-one"), programs[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	server := dnsAt("10.7.0.1")
	load := (&soakLoad{recursed: true}).start(t, server, rate)
	overTCP := askOverTCP(t, server, time.Millisecond, load.over, [2]string{"localhost.", "127.0.0.1"}, [2]string{"www.example.org.", soakRecursor})
	asked := func() {
		enough := load.sent.Load() + int64(2*rate)
		lab.Eventually(t, patience, "two seconds of questions", func() bool { return load.sent.Load() > enough })
	}
	upgrades := 0
	for over := time.Now().Add(min(duration/12, time.Minute)); time.Now().Before(over) || upgrades < 2; upgrades++ {
		asked()
		before := h.pids()["dns"]
		h.must(t, "upgrade", programs[upgrades%len(programs)])
		h.is(t, "dns", "the new program", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != before })
		lab.Eventually(t, patience, "the old DNS server to end", func() bool { return !alive(before) })
	}
	asked()
	load.stop()
	t.Logf("%d upgrades", upgrades)
	load.judge(t, rate)
	overTCP()
}
