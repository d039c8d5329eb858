package test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

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
	udp, _ := hold(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), upstream))
	serveQuickly(t, udp, func([]byte) bool { return true })
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
	load := (&soakLoad{recursed: true}).start(t, dnsAt("10.7.0.1"), rate)
	overTCP := askOverTCP(t, "localhost.", "127.0.0.1", load.over)
	asked := func() {
		enough := load.sent.Load() + int64(2*rate)
		lab.Eventually(t, patience, "two seconds of questions", func() bool { return load.sent.Load() > enough })
	}
	upgrades, drops, server := 0, socketDrops{}, dnsAt("10.7.0.1")
	for over := time.Now().Add(min(duration/12, time.Minute)); time.Now().Before(over) || upgrades < 2; upgrades++ {
		asked()
		before := h.pids()["dns"]
		drops.look(t, server, before)
		h.must(t, "upgrade", programs[upgrades%len(programs)])
		h.is(t, "dns", "the new program", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != before })
		lab.Eventually(t, patience, "the old DNS server to end", func() bool { return !alive(before) })
	}
	asked()
	load.stop()
	connections, failed := overTCP()
	drops.look(t, server, h.pids()["dns"])
	lost, dropped := load.lost(), droppedByKernel(t)-drops.sum()
	t.Logf("%d upgrades, %d queries (%d of them garbage) at %d a second: %d without an answer (%d datagrams were dropped by full sockets of the test's own, %d by the server's), %d with a wrong one",
		upgrades, load.sent.Load()+load.garbage.Load(), load.garbage.Load(), rate, len(lost), dropped, drops.sum(), len(load.wrong))
	if len(load.wrong) > 0 {
		t.Errorf("%d wrong answers, such as: %s", len(load.wrong), load.wrong[0])
	}
	if len(lost) > dropped {
		t.Errorf("%d queries without an answer, such as: %s", len(lost), lost[0])
	}
	t.Logf("%d connections meanwhile, %d without their answer", connections, len(failed))
	if len(failed) > 0 {
		t.Errorf("%d connections without their answer, such as: %s", len(failed), failed[0])
	}
	if load.answered.Load() == 0 || connections == 0 {
		t.Error("nothing was asked")
	}
}

// askOverTCP asks in one connection after the other, from here, until the channel is closed. What it returns waits for the end, and tells how many there were and
// what went wrong.
func askOverTCP(t testing.TB, name, address string, over <-chan struct{}) func() (int, []string) {
	t.Helper()
	from := hereNow(t)
	server := dnsAt("10.7.0.1").String()
	ended := make(chan struct{})
	connections := 0
	var failed []string
	once := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		conn, err := from.DialContext(ctx, "tcp", server)
		if err != nil {
			return err
		}
		defer conn.Close()
		reply, err := exchangeOver(conn, plainQuery(name, dns.TypeA))
		if err != nil {
			return err
		}
		return hasAddress(reply, address)
	}
	go func() {
		defer close(ended)
		defer from.net.Close()
		defer from.mnt.Close()
		for {
			select {
			case <-over:
				return
			default:
			}
			connections++
			if err := once(); err != nil {
				failed = append(failed, err.Error())
			}
		}
	}()
	return func() (int, []string) { <-ended; return connections, failed }
}
