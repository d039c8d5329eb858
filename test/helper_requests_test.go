package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// requests are clients that ask for a page without pause, and never ask again for one that
// they did not get.
type requests struct {
	sent, lost atomic.Int64
	first      atomic.Value // string: what befell the first that was lost
	ending     chan struct{}
	work       sync.WaitGroup
}

// startRequests asks, in the network namespace of the test, for a page of a host: half of the
// clients go on with one connection, the others make one for each request.
func startRequests(t *testing.T, address, host, want string) *requests {
	t.Helper()
	r := &requests{ending: make(chan struct{})}
	network := networkFile(t)
	for i := range 4 {
		r.work.Go(func() {
			runtime.LockOSThread() // for good: the thread ends with this goroutine
			if err := unix.Setns(network, unix.CLONE_NEWNET); err != nil {
				r.lose(err)
				return
			}
			r.run(address, host, want, i%2 == 0)
		})
	}
	t.Cleanup(r.stop)
	return r
}

func (r *requests) lose(err error) {
	r.lost.Add(1)
	r.first.CompareAndSwap(nil, err.Error())
}

func (r *requests) run(address, host, want string, keep bool) {
	var conn net.Conn
	var reader *bufio.Reader
	leave := func() {
		if conn != nil {
			_ = conn.Close()
			conn = nil
		}
	}
	defer leave()
	for {
		select {
		case <-r.ending:
			return
		default:
		}
		r.sent.Add(1)
		if conn == nil {
			var err error
			if conn, err = net.DialTimeout("tcp", address, patience); err != nil {
				r.lose(err)
				continue
			}
			reader = bufio.NewReader(conn)
		}
		closes, err := askPage(conn, reader, host, want, keep)
		if err != nil {
			r.lose(err)
		}
		if err != nil || closes {
			leave()
		}
	}
}

// askPage asks once; closes tells that the connection is over.
func askPage(conn net.Conn, reader *bufio.Reader, host, want string, keep bool) (closes bool, err error) {
	request, err := http.NewRequest(http.MethodGet, "http://"+host+"/", nil)
	if err != nil {
		return true, err
	}
	request.Close = !keep
	_ = conn.SetDeadline(time.Now().Add(patience))
	if err := request.Write(conn); err != nil {
		return true, err
	}
	answer, err := http.ReadResponse(reader, request)
	if err != nil {
		return true, err
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err == nil && (answer.StatusCode != http.StatusOK || string(body) != want) {
		err = fmt.Errorf("%s answers %d: %.100q", host, answer.StatusCode, body)
	}
	return answer.Close || !keep, err
}

// more waits until n more were sent.
func (r *requests) more(n int64) func() bool {
	want := r.sent.Load() + n
	return func() bool { return r.sent.Load() >= want }
}

func (r *requests) stop() {
	select {
	case <-r.ending:
	default:
		close(r.ending)
	}
	r.work.Wait()
}

// stopAndCheck stops; none may have been lost.
func (r *requests) stopAndCheck(t *testing.T) {
	t.Helper()
	r.stop()
	if n := r.lost.Load(); n > 0 || r.sent.Load() == 0 {
		t.Errorf("%d of %d requests were lost, the first: %v", n, r.sent.Load(), r.first.Load())
	}
}
