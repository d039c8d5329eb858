package upstream

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"panteras/dnsserver/wire"
)

// recorded is a connection on which a server has sent some bytes and closed.
type recorded struct {
	net.Conn
	*bytes.Reader
}

func (r recorded) Read(b []byte) (int, error)      { return r.Reader.Read(b) }
func (r recorded) SetReadDeadline(time.Time) error { return nil }

// Whatever bytes a server sends, a query gets the first whole message under its id, under the id that it had before, and nothing else gets anywhere.
func FuzzStreamFrames(f *testing.F) {
	frame := func(id byte, rest ...byte) []byte {
		m := append([]byte{0, id, 0x80, 0}, make([]byte, 8)...)
		m = append(m, rest...)
		return append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)
	}
	f.Add(bytes.Join([][]byte{frame(1), frame(2, 1, 2, 3), frame(3)}, nil), false)
	f.Add(bytes.Join([][]byte{frame(3), frame(3, 9), frame(77), frame(1)}, nil), false)
	f.Add(bytes.Join([][]byte{frame(3), frame(2), frame(1), frame(1, 5)}, nil), true)
	f.Add(append(frame(1), 0, 3, 0, 2, 9), false) // less than a header, under an id that waits
	f.Add(frame(2)[:9], true)
	const waiting = 3
	f.Fuzz(func(t *testing.T, sent []byte, retired bool) {
		type reply struct {
			id  uint16
			m   []byte
			err error
		}
		replies := make(chan reply, 4*waiting)
		s := &Stream{queued: waiting}
		c := &streamConn{s: s, pending: map[uint16]*exchange{}, retired: retired}
		for id := uint16(1); id <= waiting; id++ {
			query := binary.BigEndian.AppendUint16(nil, 1000+id)
			c.pending[id] = &exchange{query: query, timer: time.NewTimer(time.Hour), done: func(m []byte, err error) { replies <- reply{id, m, err} }}
		}
		err := c.read(recorded{Reader: bytes.NewReader(sent)})

		want := map[uint16][]byte{}
		for rest, n := sent, 0; len(want) < waiting || !retired; rest = rest[2+n:] {
			if len(rest) < 2 {
				break
			}
			if n = int(binary.BigEndian.Uint16(rest)); n < wire.HeaderLen || 2+n > len(rest) {
				break
			}
			if id := wire.ID(rest[2:]); id >= 1 && id <= waiting && want[id] == nil {
				want[id] = rest[2 : 2+n]
			}
		}
		if over := retired && len(want) == waiting; (err == nil) != over {
			t.Fatalf("the connection ends with %v after %d of %d answers", err, len(want), waiting)
		}
		if c.got != len(want) || s.queued != waiting-len(want) || len(c.pending) != waiting-len(want) {
			t.Fatalf("%d answers, %d queued, %d waiting; want %d answers", c.got, s.queued, len(c.pending), len(want))
		}
		for range want {
			got := <-replies
			m := want[got.id]
			if got.err != nil || m == nil || wire.ID(got.m) != 1000+got.id || !bytes.Equal(got.m[2:], m[2:]) {
				t.Fatalf("query %d got %x, %v; want %x", got.id, got.m, got.err, m)
			}
		}
	})
}
