package test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// flood sends queries for distinct names under a suffix, at a rate, and reads no answers.
type flood struct {
	sent atomic.Int64
	over chan struct{}
	work sync.WaitGroup
}

// floodRate is queries a second: more than a host's clients ask, and less than it takes to
// starve a small machine of processor time, which is another matter.
const floodRate = 10000

// startFlood floods until stop, or the end of the test.
func startFlood(t testing.TB, server netip.AddrPort, suffix string, rate int) *flood {
	t.Helper()
	f := &flood{over: make(chan struct{})}
	const sockets = 4
	for i := range sockets {
		conn, err := net.Dial("udp", server.String())
		if err != nil {
			t.Fatal(err)
		}
		f.work.Go(func() {
			defer conn.Close()
			f.run(conn, fmt.Sprintf("%d.%s", i, suffix), rate/sockets)
		})
	}
	t.Cleanup(f.stop)
	return f
}

func (f *flood) run(conn net.Conn, suffix string, rate int) {
	const step = 5 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-f.over:
			return
		case <-tick.C:
		}
		for range max(1, rate*int(step)/int(time.Second)) {
			n++
			message, err := plainQuery(fmt.Sprintf("n%d.%s", n, suffix), dns.TypeA).Pack()
			if err != nil {
				return
			}
			_, _ = conn.Write(message)
			f.sent.Add(1)
		}
	}
}

func (f *flood) stop() {
	select {
	case <-f.over:
	default:
		close(f.over)
	}
	f.work.Wait()
}

// silentPort is an upstream that is dead in the worst way: its port is open, and nobody
// reads from it.
func silentPort(t testing.TB) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// A flood of distinct names for a dead recursor does not keep others from the names of
// Consul.
func TestAbuseFloodForADeadUpstream(t *testing.T) {
	t.Parallel()
	d := startDNSD(t, to("--consul-dns", scripted(t, always(trueAddress))), "--dns-upstreams="+silentPort(t).String())
	other := bystander{d.addr, "web.service.consul", trueAddress}
	before := other.ask(t, bystanderQuestions)
	f := startFlood(t, d.addr, "example.org", floodRate)
	lab.Eventually(t, patience, "the flood to have begun", func() bool { return f.sent.Load() > floodRate/10 })
	during := other.ask(t, bystanderQuestions)
	lab.Eventually(t, patience, "the flood to have lasted", func() bool { return f.sent.Load() > floodRate/2 })
	late := other.ask(t, bystanderQuestions)
	tell(t, "distinct names for a dead upstream", before, during)
	tell(t, "the same, a while later", before, late)
	f.stop()
}

// mostWaiting is how many queries may wait for a route on each core.
const mostWaiting = 4096

// More queries for one upstream than there are ids (65,536), none of which it answers though it
// lives: the oldest are given up, names of other routes are answered all the while, and its own
// once the flood is over.
func TestAbuseIDsRunOut(t *testing.T) {
	t.Parallel()
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	serveQuickly(t, udp, func(name []byte) bool { // the root is asked for to see whether it lives
		return len(name) == 1 || bytes.HasPrefix(name, []byte("\x04good"))
	}, 0)
	d := startDNSD(t, to("--consul-dns", scripted(t, always(trueAddress))), "--dns-upstreams="+udp.LocalAddr().String())
	other, same := bystander{d.addr, "web.service.consul", trueAddress}, bystander{d.addr, "good.example.net", soakRecursor}
	before := other.ask(t, bystanderQuestions)
	same.ask(t, 1)
	const ids = 1 << 16
	f := startFlood(t, d.addr, "example.org", 2*floodRate)
	lab.Eventually(t, patience, "the flood to have begun", func() bool { return f.sent.Load() > floodRate/10 })
	during := other.ask(t, bystanderQuestions)
	tell(t, "more queries than ids, another route", before, during)
	most := 0.0
	lab.Eventually(t, 5*patience, "more queries than ids", func() bool {
		most = max(most, d.metric(t, "panteras_dns_in_flight", `transport="udp"`))
		return f.sent.Load() > ids+ids/8
	})
	f.stop()
	t.Logf("at most %.0f of %d queries waited, %.0f were given up for newer ones", most, f.sent.Load(), d.metric(t, "panteras_dns_dropped_total", `reason="overload"`))
	if limit := float64(mostWaiting * runtime.NumCPU() * 2); most > limit { // two routes
		t.Errorf("%.0f queries waited, want at most %.0f", most, limit)
	}
	if d.metric(t, "panteras_dns_dropped_total", `reason="overload"`) == 0 {
		t.Error("no query was given up: this was no abuse")
	}
	lab.Eventually(t, patience, "names of the upstream to be answered after the flood", func() bool {
		reply, err := exchange("udp", d.addr, plainQuery(same.name, dns.TypeA))
		return err == nil && hasAddress(reply, same.address) == nil
	})
}
