package lab

import (
	"bytes"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// Action is one thing that an Upstream does about a query.
type Action struct {
	run   func(*exchangeState) bool // false: the rest of the script is off
	waits bool                      // run may take time
}

// exchangeState is one query on its way to its answers.
type exchangeState struct {
	u     *Upstream
	query *Query
	out   transport
}

// take takes actions until one calls it off.
func (x *exchangeState) take(actions []Action) {
	for _, action := range actions {
		if !action.run(x) {
			return
		}
	}
}

// Reply answers with a message that the edits make from an empty NOERROR reply.
// Twice in a script, it is a duplicate.
func Reply(edits ...Edit) Action {
	return do(func(x *exchangeState) error { return x.out.send(x.build(edits)) })
}

// Bytewise is Reply with each byte in a TCP segment of its own.
func Bytewise(edits ...Edit) Action {
	return do(func(x *exchangeState) error { return x.out.bytes(x.build(edits)) })
}

// HalfThenClose sends the first half of what Reply sends, and closes the TCP
// connection; over UDP, the datagram is cut in half.
func HalfThenClose(edits ...Edit) Action {
	return do(func(x *exchangeState) error { return x.out.half(x.build(edits)) })
}

// Bytes sends a message that the test made itself.
func Bytes(message []byte) Action {
	return do(func(x *exchangeState) error { return x.out.send(message) })
}

// Garbage sends n bytes that are no DNS message, though they begin with the
// right id if there are two or more.
func Garbage(n int) Action {
	return do(func(x *exchangeState) error {
		message := bytes.Repeat([]byte{0xff}, n)
		if len(x.query.Raw) >= 2 {
			copy(message, x.query.Raw[:2])
		}
		return x.out.send(message)
	})
}

// CloseConn closes the TCP connection (FIN); over UDP it does nothing.
func CloseConn() Action {
	return do(func(x *exchangeState) error { x.out.end(false); return nil })
}

// Reset breaks the TCP connection off (RST); over UDP it does nothing.
func Reset() Action {
	return do(func(x *exchangeState) error { x.out.end(true); return nil })
}

// Delay waits before the actions after it.
func Delay(d time.Duration) Action {
	return Action{waits: true, run: func(x *exchangeState) bool {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return true
		case <-x.u.ctx.Done():
			return false
		}
	}}
}

// Until waits for the test to close a channel, or to send on it, before the
// actions after it: how to be late without a clock.
func Until(c <-chan struct{}) Action {
	return Action{waits: true, run: func(x *exchangeState) bool {
		select {
		case <-c:
			return true
		case <-x.u.ctx.Done():
			return false
		}
	}}
}

// do makes an action of what sends something. That the other side has gone, or
// that the test closed the socket, is no error.
func do(send func(*exchangeState) error) Action {
	return Action{run: func(x *exchangeState) bool {
		err := send(x)
		for _, gone := range []error{net.ErrClosed, syscall.EPIPE, syscall.ECONNRESET, syscall.ECONNREFUSED} {
			if errors.Is(err, gone) {
				return false
			}
		}
		if err != nil {
			x.u.t.Errorf("upstream %s: %v", x.u.Addr, err)
		}
		return err == nil
	}}
}

// build makes the reply to the query and packs it.
func (x *exchangeState) build(edits []Edit) []byte {
	m := new(dns.Msg)
	if x.query.Msg != nil {
		m.SetReply(x.query.Msg)
		if opt := x.query.Msg.IsEdns0(); opt != nil {
			m.SetEdns0(dns.DefaultMsgSize, opt.Do())
		}
	} else {
		if len(x.query.Raw) >= 2 {
			m.Id = uint16(x.query.Raw[0])<<8 | uint16(x.query.Raw[1])
		}
		m.Response, m.Rcode = true, dns.RcodeFormatError
	}
	m.RecursionAvailable = true
	m.Compress = true
	for _, edit := range append(edits[:len(edits):len(edits)], x.u.shapes...) {
		edit(x.query, m)
	}
	message, err := m.Pack()
	if err != nil {
		x.u.t.Errorf("upstream %s cannot pack its reply: %v", x.u.Addr, err)
	}
	return message
}
