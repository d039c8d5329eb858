package dnsserver

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"time"

	"panteras/dnsserver/route"
	"panteras/dnsserver/wire"
)

// Clients outside DNS_ALLOW get REFUSED, so that who set this up wrong can see it. They have a few places of their own, one query and little time: they
// must not crowd out those who may ask.
const (
	maxRefused  = 64
	refuseTime  = time.Second
	refuseBytes = 512
)

// refuse answers the first query of a connection with REFUSED and ends it.
func (t *tcpServer) refuse(conn net.Conn) {
	t.stats.drop(dropNotAllowed)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draining || t.refused >= maxRefused {
		conn.Close()
		return
	}
	t.refused++
	t.wg.Go(func() {
		defer func() {
			conn.Close()
			t.mu.Lock()
			t.refused--
			t.mu.Unlock()
		}()
		_ = conn.SetDeadline(time.Now().Add(refuseTime))
		r := bufio.NewReaderSize(conn, refuseBytes)
		var length [2]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return
		}
		pkt := make([]byte, min(int(binary.BigEndian.Uint16(length[:])), refuseBytes))
		if _, err := io.ReadFull(r, pkt); err != nil {
			return
		}
		var q wire.Query
		var m []byte
		switch wire.Parse(pkt, &q) {
		case wire.Drop:
			return
		case wire.OK, wire.BadVers:
			m = wire.AppendError(make([]byte, 2), pkt, &q, wire.ID(pkt), wire.RcodeRefused, wire.NoEDE, "", wire.MinUDPSize)
		default:
			m = wire.AppendHeader(make([]byte, 2), pkt, wire.RcodeRefused)
		}
		binary.BigEndian.PutUint16(m, uint16(len(m)-2))
		t.stats.answer(route.Recurse, tcp, wire.RcodeRefused, 0)
		_, _ = conn.Write(m)
	})
}
