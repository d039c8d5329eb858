package test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// askOverTCP asks questions, each a name and its address, in turn and in a connection of its own, from here, until the channel is closed. What it returns waits for
// the end, and fails the test for what went wrong.
func askOverTCP(t testing.TB, server netip.AddrPort, every time.Duration, over <-chan struct{}, questions ...[2]string) (judge func()) {
	t.Helper()
	from := hereNow(t)
	ended := make(chan struct{})
	connections := 0
	var failed []string
	once := func(name, address string) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		conn, err := from.DialContext(ctx, "tcp", server.String())
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
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			question := questions[connections%len(questions)]
			connections++
			if err := once(question[0], question[1]); err != nil {
				failed = append(failed, err.Error())
			}
		}
	}()
	return func() {
		t.Helper()
		<-ended
		t.Logf("%d connections meanwhile, %d without their answer", connections, len(failed))
		if connections == 0 {
			t.Error("nothing was asked over TCP")
		}
		if len(failed) > 0 {
			t.Errorf("%d connections without their answer, such as: %s", len(failed), failed[0])
		}
	}
}
