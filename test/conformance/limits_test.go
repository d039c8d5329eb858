package conformance

import (
	"errors"
	"net"
	"time"

	"github.com/miekg/dns"
)

// Limits of the TCP side, as dns.md has them.
const (
	connsPerClient = 1024
	messageLimit   = 5 * time.Second
	idleLimit      = 10 * time.Second
	// clockStart is how much before its time the end of a connection may be seen: our clock starts after the server's.
	clockStart = 500 * time.Millisecond
)

func connectionsOfAClient(s *stage) {
	query := s.pack(ask(s.name))
	var conns []net.Conn
	for range connsPerClient + 1 {
		conns = append(conns, s.dial("tcp"))
	}
	for _, conn := range conns {
		_, _ = conn.Write(frame(query)) // one is closed already
	}
	answered := 0
	for _, conn := range conns {
		if _, err := receive(conn); err == nil {
			answered++
		} else if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			s.Fatal("a connection is neither answered nor ended")
		}
	}
	if answered != connsPerClient {
		s.Errorf("%d of %d connections are answered", answered, len(conns))
	}
	other := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := other.Dial("tcp", s.addr.String())
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	s.send(conn, query)
	s.must(s.unpack(s.receive(conn)), dns.RcodeSuccess, 1)
}

// ended is how a connection ended.
type ended struct {
	after time.Duration
	err   error
}

// lasts tells how long the server keeps a connection from now on.
func (s *stage) lasts(conn net.Conn) <-chan ended {
	began := time.Now()
	_ = conn.SetDeadline(began.Add(idleLimit + patience))
	end := make(chan ended, 1)
	go func() {
		_, err := receive(conn)
		end <- ended{time.Since(began), err}
	}()
	return end
}

// atItsTime fails the case unless the server ended the connection after a time.
func (s *stage) atItsTime(e ended, limit time.Duration) {
	s.Helper()
	if timeout := net.Error(nil); e.err == nil || errors.As(e.err, &timeout) && timeout.Timeout() {
		s.Errorf("the connection does not end: %v", e.err)
	} else if e.after < limit-clockStart || e.after > limit*3/2 {
		s.Errorf("the connection ends after %v, want %v: %v", e.after, limit, e.err)
	}
}

func messageTime(s *stage) func(*stage) {
	conn, still := s.dial("tcp"), s.dial("tcp")
	if _, err := conn.Write([]byte{0xff, 0xff}); err != nil {
		s.Fatal(err)
	}
	end := s.lasts(conn)
	idle := s.lasts(still)
	stop := make(chan struct{})
	s.Cleanup(func() { close(stop) })
	go func() {
		tick := time.NewTicker(messageLimit / 10)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if _, err := conn.Write([]byte{'A'}); err != nil {
					return
				}
			}
		}
	}()
	return func(s *stage) {
		slow := <-end
		s.atItsTime(slow, messageLimit)
		if e := <-idle; e.after <= slow.after {
			s.Errorf("a connection in the middle of a message lasts %v, an idle one %v", slow.after, e.after)
		}
	}
}

func idleTime(s *stage) func(*stage) {
	conn := s.dial("tcp")
	s.send(conn, s.pack(ask(s.name)))
	s.must(s.unpack(s.receive(conn)), dns.RcodeSuccess, 1)
	end := s.lasts(conn)
	return func(s *stage) { s.atItsTime(<-end, idleLimit) }
}
