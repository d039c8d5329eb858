package lab

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
)

// transport is how the answers to one query go back.
type transport interface {
	send(message []byte) error  // a whole message
	bytes(message []byte) error // the same, in pieces as small as they come
	half(message []byte) error  // its first half, and no more ever
	end(reset bool)             // of the connection, if there is one
}

// serveUDP reads queries until the socket is closed.
func (u *Upstream) serveUDP(conn *net.UDPConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier answer
		}
		q := u.arrived(bytes.Clone(buf[:n]), from, false)
		if !u.pass() {
			return
		}
		u.handle(q, udpTransport{conn, from}, nil)
	}
}

// udpTransport answers one query over UDP.
type udpTransport struct {
	conn *net.UDPConn
	to   netip.AddrPort
}

func (t udpTransport) send(message []byte) error {
	_, err := t.conn.WriteToUDPAddrPort(message, t.to)
	return err
}

func (t udpTransport) bytes(message []byte) error { return t.send(message) } // a datagram has no pieces
func (t udpTransport) half(message []byte) error  { return t.send(message[:len(message)/2]) }
func (t udpTransport) end(bool)                   {}
