package test

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// pack is the message as bytes.
func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	raw, err := m.Pack()
	if err != nil {
		t.Fatalf("cannot pack the test's own message: %v", err)
	}
	return raw
}

// unpack reads a message that must be well-formed.
func unpack(t testing.TB, raw []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(raw); err != nil {
		t.Fatalf("cannot read %x: %v", raw, err)
	}
	return m
}

// dial connects to a server; the connection is closed when the test is over, and
// everything on it must happen within patience.
func dial(t testing.TB, network string, server netip.AddrPort) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout(network, server.String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// write sends one message, over TCP with its length before it.
func write(t testing.TB, conn net.Conn, message []byte) {
	t.Helper()
	if conn.LocalAddr().Network() == "tcp" {
		message = append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
	}
	if _, err := conn.Write(message); err != nil {
		t.Fatal(err)
	}
}

// read receives one message.
func read(t testing.TB, conn net.Conn) []byte {
	t.Helper()
	message, err := tryRead(conn)
	if err != nil {
		t.Fatalf("no reply: %v", err)
	}
	return message
}

// tryRead is read for who expects that nothing comes.
func tryRead(conn net.Conn) ([]byte, error) {
	message := make([]byte, dns.MaxMsgSize)
	if conn.LocalAddr().Network() == "udp" {
		n, err := conn.Read(message)
		return message[:n], err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	message = message[:binary.BigEndian.Uint16(length[:])]
	_, err := io.ReadFull(conn, message)
	return message, err
}

// askRaw sends bytes and returns those that come back.
func (d *dnsd) askRaw(t testing.TB, network string, message []byte) []byte {
	t.Helper()
	conn := dial(t, network, d.addr)
	write(t, conn, message)
	return read(t, conn)
}
