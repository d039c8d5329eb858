package test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// Answers over one connection come as they are ready (RFC 7766): a slow one in front
// of 64 others does not hold them up.
func TestAnsweredOutOfOrder(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		answer := make(chan struct{})
		u := scripted(t, func(a attempt) []lab.Action {
			if a.name() == "slow."+v.name+"." {
				return append([]lab.Action{lab.Until(answer)}, answerWith(trueAddress)...)
			}
			return answerWith(trueAddress)
		})
		d := startDNSD(t, to(v.flag, u))
		conn := dial(t, "tcp", d.addr)
		slow := ednsQuery("slow."+v.name, dns.TypeA)
		slow.Id = 1000
		write(t, conn, pack(t, slow))
		lab.Eventually(t, patience, "the slow query to be on its way", func() bool { return u.Asked("slow."+v.name, dns.TypeA) > 0 })
		const fast = 100
		for i := range fast {
			query := ednsQuery(fmt.Sprintf("n%d.%s", i, v.name), dns.TypeA)
			query.Id = uint16(i)
			write(t, conn, pack(t, query))
		}
		for range fast {
			if reply := unpack(t, read(t, conn)); reply.Id == slow.Id || hasAddress(reply, trueAddress) != nil {
				t.Fatalf("want the fast answers first, got:\n%v", reply)
			}
		}
		close(answer)
		if reply := unpack(t, read(t, conn)); reply.Id != slow.Id {
			t.Errorf("want the slow answer, got:\n%v", reply)
		}
	})
}

// A client that has closed its half of the connection still gets its answers, and
// then the end.
func TestHalfClosedClient(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		closed := make(chan struct{})
		u := scripted(t, func(attempt) []lab.Action {
			return append([]lab.Action{lab.Until(closed)}, answerWith(trueAddress)...)
		})
		d := startDNSD(t, to(v.flag, u))
		conn := dial(t, "tcp", d.addr)
		for i := range 10 {
			write(t, conn, pack(t, ednsQuery(fmt.Sprintf("n%d.%s", i, v.name), dns.TypeA)))
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		close(closed)
		for range 10 {
			wantAddress(t, unpack(t, read(t, conn)), trueAddress)
		}
		_ = conn.SetReadDeadline(time.Now().Add(notIdle))
		if _, err := tryRead(conn); !errors.Is(err, io.EOF) {
			t.Errorf("want the end of the connection, got: %v", err)
		}
	})
}

// notIdle is how soon a connection is closed that is not merely idle: those end after 10 s.
const notIdle = 8 * time.Second

// ended waits until the server has closed a connection.
func ended(t testing.TB, conn net.Conn, within time.Duration) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(within))
	for buf := make([]byte, 4096); ; {
		if _, err := conn.Read(buf); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection was not closed within %v", within)
			}
			return
		}
	}
}

// Frames that hold nothing of DNS end their connection, and harm no other.
func TestBadFrames(t *testing.T) {
	t.Parallel()
	d := startDNSD(t, to("--dns-upstreams", scripted(t, always(trueAddress))))
	load := startLoad(t, d.addr, asker{network: "tcp", names: []string{"www.example.org"}, address: trueAddress})
	reply := pack(t, new(dns.Msg).SetReply(ednsQuery("www.example.org", dns.TypeA)))
	for what, frame := range map[string][]byte{
		"empty": {0, 0}, "one byte": {0, 1, 7}, "eleven bytes": append([]byte{0, 11}, reply[:11]...),
		"a reply": append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...),
	} {
		t.Run(what, func(t *testing.T) {
			conn := dial(t, "tcp", d.addr)
			if _, err := conn.Write(frame); err != nil {
				t.Fatal(err)
			}
			ended(t, conn, notIdle)
		})
	}
	conn := dial(t, "tcp", d.addr)
	write(t, conn, append([]byte{1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, "garbage that is no name, but behind a good header"...))
	if raw := read(t, conn); raw[0] != 1 || raw[1] != 2 || raw[3]&15 != dns.RcodeFormatError {
		t.Errorf("want FORMERR, got %x", raw)
	}
	write(t, conn, pack(t, ednsQuery("www.example.org", dns.TypeA)))
	wantAddress(t, unpack(t, read(t, conn)), trueAddress)
	load.stopAndCheck(t)
}

// Connections that are of no use are closed: one that is idle (10 s), and one whose
// message comes a byte at a time (5 s), which must not look busy by that. Others are
// served meanwhile.
func TestUselessConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	d := startDNSD(t, to("--dns-upstreams", scripted(t, always(trueAddress))))
	load := startLoad(t, d.addr, asker{network: "tcp", names: []string{"www.example.org"}, address: trueAddress},
		asker{network: "udp", names: []string{"www.example.org"}, address: trueAddress})
	fresh, idle, slow := dial(t, "tcp", d.addr), dial(t, "tcp", d.addr), dial(t, "tcp", d.addr)
	write(t, idle, pack(t, ednsQuery("www.example.org", dns.TypeA)))
	read(t, idle)
	start := time.Now()
	dripped := make(chan struct{})
	go func() {
		defer close(dripped)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		frame := append([]byte{0, 60}, make([]byte, 60)...)
		for i := range frame {
			if _, err := slow.Write(frame[i : i+1]); err != nil {
				return // closed, as it should be
			}
			<-tick.C
		}
	}()
	ended(t, slow, 15*time.Second)
	if took := time.Since(start); took < 2*time.Second {
		t.Errorf("closed after %v: a slow network needs more", took)
	}
	<-dripped
	ended(t, idle, 25*time.Second)
	ended(t, fresh, 25*time.Second)
	if took := time.Since(start); took < 8*time.Second {
		t.Errorf("idle connections were closed after %v, want 10 s", took)
	}
	load.stopAndCheck(t)
}

// A client that waits for an answer is not idle.
func TestWaitingIsNotIdle(t *testing.T) {
	t.Parallel()
	u := scripted(t, func(attempt) []lab.Action {
		return append([]lab.Action{lab.Delay(1500 * time.Millisecond)}, answerWith(trueAddress)...)
	})
	d := startDNSD(t, to("--dns-upstreams", u))
	wantAddress(t, d.ask(t, "tcp", ednsQuery("www.example.org", dns.TypeA)), trueAddress)
}

// A client that asks and asks and never reads is stopped by its own full buffers, and
// cut off; nobody else notices.
func TestClientThatNeverReads(t *testing.T) {
	t.Parallel()
	d := startDNSD(t, to("--dns-upstreams", scripted(t, longText)))
	load := startLoad(t, d.addr, asker{network: "tcp", names: []string{"node-7"}, address: "10.0.0.5"},
		asker{network: "udp", names: []string{"node-7"}, address: "10.0.0.5"})
	conn := dial(t, "tcp", d.addr)
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	message := pack(t, ednsQuery("www.example.org", dns.TypeTXT))
	frame := append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
	for {
		if _, err := conn.Write(frame); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the client that never reads was not cut off")
			}
			break
		}
	}
	lab.Eventually(t, patience, "its queries to be gone", func() bool { return d.metric(t, "panteras_dns_in_flight", `transport="tcp"`) <= 1 })
	load.stopAndCheck(t)
}

// One client cannot take every connection: there are 1,024 for each, and more are
// closed; another client is served.
func TestConnectionsOfOneClient(t *testing.T) {
	t.Parallel()
	if limit := (syscall.Rlimit{}); syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil && limit.Cur < 4096 {
		t.Skipf("needs 4096 descriptors, may open %d", limit.Cur)
	}
	d := startDNSD(t)
	const most = 1024
	var open []net.Conn
	for range most {
		open = append(open, dial(t, "tcp", d.addr))
	}
	for _, conn := range []net.Conn{open[0], open[most-1]} {
		write(t, conn, pack(t, ednsQuery("node-7", dns.TypeA)))
		wantAddress(t, unpack(t, read(t, conn)), "10.0.0.5")
	}
	const more = 10
	for range more {
		ended(t, dial(t, "tcp", d.addr), notIdle)
	}
	if n := d.metric(t, "panteras_dns_dropped_total", `reason="connections"`); n < more {
		t.Errorf("%v connections counted as one too many, want %d", n, more)
	}
	other := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: patience}
	conn, err := other.Dial("tcp", d.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reply, err := exchangeOver(conn, ednsQuery("node-7", dns.TypeA))
	if err == nil {
		err = hasAddress(reply, "10.0.0.5")
	}
	if err != nil {
		t.Errorf("another client: %v", err)
	}
	_ = open[0].Close()
	lab.Eventually(t, patience, "a place to be free again", func() bool {
		_, err := exchange("tcp", d.addr, ednsQuery("node-7", dns.TypeA))
		return err == nil
	})
}
