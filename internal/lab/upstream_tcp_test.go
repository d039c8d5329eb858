package lab

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestTCPAnswersInPiecesAndHalves(t *testing.T) {
	t.Parallel()
	u := NewUpstream(t, func(q *Query) []Action {
		if q.Number == 1 {
			return []Action{Bytewise(SRV(5))}
		}
		return []Action{HalfThenClose(SRV(5))}
	})
	c := dial(t, u, "tcp")
	c.ask("a.", dns.TypeSRV, 0)
	if got := c.reply(); len(got.Answer) != 5 {
		t.Errorf("got %v", got)
	}
	c.ask("a.", dns.TypeSRV, 0)
	if _, err := c.ReadMsg(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half an answer: %v", err)
	}

	udp := dial(t, NewUpstream(t, Script(Bytewise(SRV(1)), HalfThenClose(SRV(1)), CloseConn(), Reset(), Reply())), "udp")
	udp.ask("a.", dns.TypeSRV, 0)
	if got := udp.reply(); len(got.Answer) != 1 {
		t.Errorf("over UDP, Bytewise is a Reply; got %v", got)
	}
	if _, err := udp.ReadMsg(); err == nil {
		t.Error("half a datagram was parsed")
	}
	udp.reply()
}

func TestTCPConnectionsEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		action Action
		want   error
	}{
		"closed": {CloseConn(), io.EOF},
		"reset":  {Reset(), syscall.ECONNRESET},
	} {
		c := dial(t, NewUpstream(t, Script(Reply(), test.action, Reply())), "tcp")
		c.ask("a.", dns.TypeA, 0)
		if _, err := c.ReadMsg(); err != nil && !errors.Is(err, syscall.ECONNRESET) { // a reset may overtake the reply
			t.Errorf("%s: %v before the end", name, err)
		}
		if _, err := c.ReadMsg(); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func TestTCPIsServedInAnyOrderOrSerially(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options []UpstreamOption
		first   string
	}{
		"any order": {nil, "fast."},
		"serial":    {[]UpstreamOption{SerialTCP()}, "slow."},
	} {
		c := dial(t, NewUpstream(t, func(q *Query) []Action {
			if q.Msg.Question[0].Name == "slow." {
				return []Action{Delay(100 * time.Millisecond), Reply()}
			}
			return []Action{Reply()}
		}, test.options...), "tcp")
		c.ask("slow.", dns.TypeA, 0)
		c.ask("fast.", dns.TypeA, 0)
		if got := c.reply().Question[0].Name; got != test.first {
			t.Errorf("%s: %s was answered first", name, got)
		}
		c.reply()
	}
}

func TestTCPClosesAfterQueriesOrIdleTime(t *testing.T) {
	t.Parallel()
	c := dial(t, NewUpstream(t, Script(Delay(time.Millisecond), Reply()), TCPLimit(2)), "tcp")
	c.ask("a.", dns.TypeA, 0)
	c.ask("a.", dns.TypeA, 0)
	c.reply()
	c.reply()
	if _, err := c.ReadMsg(); !errors.Is(err, io.EOF) {
		t.Errorf("after the limit: %v", err)
	}
	c = dial(t, NewUpstream(t, Script(Reply()), TCPIdle(time.Millisecond)), "tcp")
	if _, err := c.ReadMsg(); !errors.Is(err, io.EOF) {
		t.Errorf("after the idle time: %v", err)
	}
}

func TestLikeConsul(t *testing.T) {
	t.Parallel()
	u := NewUpstream(t, Script(Reply(SRV(300))), LikeConsul119())
	udp := dial(t, u, "udp")

	udp.ask("Python.consul.", dns.TypeSRV, 0)
	small := udp.reply()
	if n := len(small.Answer); n != 3 || small.Truncated || len(small.Extra) != n || small.Question[0].Name != "python.consul." {
		t.Errorf("without EDNS:\n%v", small)
	}
	udp.ask("Python.consul.", dns.TypeSRV, 1232)
	got := udp.reply()
	got.Compress = true // as it was on the wire
	if got.Truncated || got.IsEdns0() != nil || got.Len() > 1232 || len(got.Answer) < 8 || len(got.Extra) != len(got.Answer) {
		t.Errorf("with EDNS 1232 (%d answers, %d bytes):\n%v", len(got.Answer), got.Len(), got)
	}
	udp.ask("Python.consul.", dns.TypeSRV, 65535)
	if got := udp.reply(); len(got.Answer) != 300 || got.IsEdns0() == nil || got.IsEdns0().UDPSize() != 65535 {
		t.Errorf("with EDNS 65535: %d answers, OPT %v", len(got.Answer), got.IsEdns0())
	}

	tcp := dial(t, u, "tcp")
	for range 128 {
		tcp.ask("Python.consul.", dns.TypeSRV, 0)
		if got := tcp.reply(); len(got.Answer) != 300 || got.RecursionAvailable || !got.Authoritative {
			t.Fatalf("over TCP:\n%v", got)
		}
	}
	if _, err := tcp.ReadMsg(); !errors.Is(err, io.EOF) {
		t.Errorf("after 128 queries: %v", err)
	}
}

func TestLikeConsulTrimsTCPAsWell(t *testing.T) {
	t.Parallel()
	c := dial(t, NewUpstream(t, Script(Reply(SRV(1200))), LikeConsul119()), "tcp")
	c.ask("python.consul.", dns.TypeSRV, 0)
	if got := c.reply(); len(got.Answer) < 800 || len(got.Answer) > 1024 || got.Truncated {
		t.Errorf("%d answers of 1200", len(got.Answer))
	}
	c.ask("python.consul.", dns.TypeA, 0) // the same records, but another limit
	c.reply()
}
