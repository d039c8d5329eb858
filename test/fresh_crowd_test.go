package test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// crowd is many clients that ask without pause, each over a socket of its own.
type crowd struct {
	answers atomic.Int64
	over    atomic.Bool
	clients sync.WaitGroup
}

// startCrowd lets a client ask each of the questions, over UDP, until stop is
// called. Each answer is shown to look, if that is not nil, by many at once.
func startCrowd(t *testing.T, server netip.AddrPort, questions []question, look func(*dns.Msg)) *crowd {
	t.Helper()
	c := &crowd{}
	t.Cleanup(c.stop)
	for _, q := range questions {
		query := new(dns.Msg).SetQuestion(dns.Fqdn(q.name), q.qtype)
		if q.over.edns > 0 {
			query.SetEdns0(q.over.edns, false)
		}
		packed, err := query.Pack()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
		if err != nil {
			t.Fatal(err)
		}
		c.clients.Go(func() {
			defer func() { _ = conn.Close() }()
			if err := c.ask(conn, packed, look); err != nil {
				t.Errorf("one of the crowd, asking %v: %v", q, err)
			}
		})
	}
	return c
}

// ask is one client's part.
func (c *crowd) ask(conn *net.UDPConn, packed []byte, look func(*dns.Msg)) error {
	for id := uint16(0); !c.over.Load(); id++ {
		binary.BigEndian.PutUint16(packed, id)
		raw, err := roundTrip(conn, packed)
		if err != nil {
			return err
		}
		reply := new(dns.Msg)
		if err := reply.Unpack(raw); err != nil {
			return err
		}
		if reply.Id != id {
			return errors.New("an answer came twice")
		}
		if end := questionEnd(packed); !bytes.Equal(raw[12:end], packed[12:end]) {
			return fmt.Errorf("another client's question came back: %v", reply.Question)
		}
		if look != nil {
			look(reply)
		}
		c.answers.Add(1)
	}
	return nil
}

// questionEnd is the offset behind the question of a query.
func questionEnd(packed []byte) int {
	end := 12
	for packed[end] != 0 {
		end += 1 + int(packed[end])
	}
	return end + 5
}

// stop ends the asking and waits for the last answers.
func (c *crowd) stop() {
	c.over.Store(true)
	c.clients.Wait()
}
