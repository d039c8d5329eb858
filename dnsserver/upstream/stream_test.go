package upstream

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// echo answers each question with an address that tells the name's number.
func echo(q *lab.Query) []lab.Action {
	return []lab.Action{lab.Reply(lab.Answers("@ 0 IN A 192.0.2.1"))}
}

// askAll asks n questions at once and fails the test unless each gets its own answer, once.
func askAll(t *testing.T, u *Upstream, n int) {
	t.Helper()
	questions, outcomes := make([]*dns.Msg, n), make([]chan outcome, n)
	for i := range n {
		questions[i] = question(fmt.Sprintf("n%d.example.", i))
		outcomes[i] = start(t, u, questions[i], patience)
	}
	for i, c := range outcomes {
		o := end(t, c)
		if o.err != nil || o.reply.Id != questions[i].Id || o.reply.Question[0] != questions[i].Question[0] || len(o.reply.Answer) != 1 {
			t.Fatalf("question %d: %v, %v", i, o.err, o.reply)
		}
	}
	for _, c := range outcomes {
		if len(c) != 0 {
			t.Fatal("a question was answered twice")
		}
	}
}

func TestQueriesShareConnections(t *testing.T) {
	t.Parallel()
	server := lab.NewUpstream(t, echo)
	u := newUpstream(t, server.Addr)
	for range 30 {
		askAll(t, u, 1)
	}
	if got := server.Stats().Connections; got != 1 {
		t.Errorf("%d connections for 30 questions one after the other", got)
	}
	askAll(t, u, 500)
	if got := server.Stats().Connections; got > 4*maxConns {
		t.Errorf("%d connections", got)
	}
}

// Consul serves 128 queries on a connection and closes it; what was on its way then is sent again.
func TestNoQueryIsLostWhenTheServerCloses(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]lab.UpstreamOption{
		"after 128, serially": {lab.LikeConsul119()},
		"after 7":             {lab.TCPLimit(7)},
		"after 1, serially":   {lab.TCPLimit(1), lab.SerialTCP()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := lab.NewUpstream(t, echo, options...)
			u := newUpstream(t, server.Addr)
			if name == "after 1, serially" {
				for range 20 {
					askAll(t, u, 1)
				}
				return
			}
			for range 3 {
				askAll(t, u, 200)
			}
		})
	}
}

func TestConnectionsThatBreak(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]lab.Action{
		"closed":               lab.CloseConn(),
		"reset":                lab.Reset(),
		"half an answer":       lab.HalfThenClose(),
		"less than a header":   lab.Bytes([]byte{1, 2, 3}),
		"nothing, in a frame":  lab.Bytes(nil),
		"another id, and gone": lab.Bytes(make([]byte, 12)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
				if q.Number <= 2 {
					return []lab.Action{fault, lab.CloseConn()}
				}
				return echo(q)
			})
			askAll(t, newUpstream(t, server.Addr), 1)
			if got := server.Stats().TCP; got != 3 {
				t.Errorf("asked %d times, want 3", got)
			}
		})
	}
}

func TestAQueryThatBreaksEveryConnectionEnds(t *testing.T) {
	t.Parallel()
	server := lab.NewUpstream(t, lab.Script(lab.Reset()))
	if o := end(t, start(t, newUpstream(t, server.Addr), question("a."), patience)); o.err == nil || o.err == ErrTimeout {
		t.Errorf("got %v, %v", o.reply, o.err)
	}
	if got := server.Stats().TCP; got != 1+maxResends {
		t.Errorf("asked %d times, want %d", got, 1+maxResends)
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	server := silent(t, nil)
	u := newUpstream(t, server.Addr)
	asked := time.Now()
	o := end(t, start(t, u, question("a."), 300*time.Millisecond))
	if o.err != ErrTimeout || time.Since(asked) < 300*time.Millisecond {
		t.Errorf("%v after %v", o.err, time.Since(asked))
	}
	if u.stream.queued != 0 {
		t.Errorf("%d queries count as waiting", u.stream.queued)
	}
}

func TestLateAndStrangeAnswersAreNobodys(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	server := lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
		if q.Number == 1 {
			return []lab.Action{lab.Until(hold), lab.Reply(), lab.Reply()}
		}
		return []lab.Action{lab.Reply(lab.WrongID()), lab.Reply(lab.Answers("@ 0 IN A 192.0.2.1"))}
	})
	u := newUpstream(t, server.Addr)
	late := start(t, u, question("late."), 100*time.Millisecond)
	if o := end(t, late); o.err != ErrTimeout {
		t.Fatalf("got %v", o.err)
	}
	close(hold)
	askAll(t, u, 3)
	if len(late) != 0 {
		t.Error("an answer after the timeout")
	}
}

func TestARefusedConnectionIsToldAtOnce(t *testing.T) {
	t.Parallel()
	server := lab.NewUpstream(t, echo)
	server.CloseTCP()
	u := newUpstream(t, server.Addr)
	if o := end(t, start(t, u, question("a."), patience)); o.err != ErrRefused {
		t.Errorf("got %v", o.err)
	}
	server.OpenTCP()
	askAll(t, u, 1)
}

func TestCloseFailsWhatWaits(t *testing.T) {
	t.Parallel()
	server := silent(t, nil)
	u := newUpstream(t, server.Addr)
	var waiting []chan outcome
	for i := range 50 {
		waiting = append(waiting, start(t, u, question(fmt.Sprintf("n%d.", i)), patience))
	}
	lab.Eventually(t, patience, "the queries to arrive", func() bool { return server.Stats().TCP == 50 })
	closed := make(chan struct{})
	go func() { defer close(closed); u.Close() }()
	for _, c := range waiting {
		if o := end(t, c); o.err == nil {
			t.Errorf("got %v", o.reply)
		}
	}
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("Close hangs")
	}
	if o := end(t, start(t, u, question("a."), patience)); o.err != ErrClosed {
		t.Errorf("after Close: %v", o.err)
	}
}

// Close while connections are being opened: nothing stays behind, and nobody waits for an idle timeout.
func TestCloseWhileDialling(t *testing.T) {
	t.Parallel()
	server := silent(t, nil)
	slow := 0
	for range 200 {
		u := newUpstream(t, server.Addr)
		c := start(t, u, question("a."), patience)
		closing := time.Now()
		u.Close()
		if took := time.Since(closing); took > connIdle/2 {
			if slow++; slow > 1 { // once may be a machine that stood still
				t.Fatalf("Close took %v", took)
			}
		}
		if o := end(t, c); o.err == nil {
			t.Fatalf("got %v", o.reply)
		}
	}
}

func TestOverloadIsRefused(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, silent(t, nil).Addr)
	var all sync.WaitGroup
	overload := make(chan error, 2*maxStreamQueue)
	for range maxStreamQueue + 100 {
		all.Add(1)
		u.Exchange(pack(t, question("a.")), time.Now().Add(2*time.Second), func(_ []byte, err error) {
			defer all.Done()
			if err == ErrOverload {
				overload <- err
			}
		})
	}
	all.Wait()
	if got := len(overload); got < 100 {
		t.Errorf("%d of %d queries were refused", got, maxStreamQueue+100)
	}
	if u.stream.queued != 0 {
		t.Errorf("%d queries count as waiting", u.stream.queued)
	}
}
