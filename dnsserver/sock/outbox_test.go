package sock

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// onHost takes the clients of these tests for what they are.
func onHost(a netip.Addr) bool { return a.IsLoopback() }

func elsewhere(netip.Addr) bool { return false }

// outboxRig is a socket that some clients have written to.
type outboxRig struct {
	fd    int
	conns []*net.UDPConn
	peers []Peer
	to    netip.Addr
}

func newOutboxRig(t *testing.T, listen, to string, clients int) *outboxRig {
	t.Helper()
	r := &outboxRig{to: netip.MustParseAddr(to)}
	fd, port := bound(t, listen)
	r.fd = fd
	in := NewInbox(1, 100, true)
	for range clients {
		c := dial(t, netip.AddrPortFrom(r.to, port))
		if err := c.SetReadBuffer(4 << 20); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("q")); err != nil {
			t.Fatal(err)
		}
		if n, errno := in.Receive(fd); n != 1 || errno != 0 {
			t.Fatal(n, errno)
		}
		var p Peer
		in.Peer(0, &p)
		r.conns, r.peers = append(r.conns, c), append(r.peers, p)
	}
	return r
}

// answers gives each client its datagrams of these lengths, the clients in turns.
func (r *outboxRig) answers(t *testing.T, o *Outbox, lengths []int) {
	t.Helper()
	for i, n := range lengths {
		for c := range r.peers {
			if !o.Add(r.fd, numbered(i, n+c%2), &r.peers[c]) {
				t.Fatalf("no room for datagram %d", i)
			}
		}
	}
}

// expect reads what each client got: the same, in any order. Connected, it takes only what comes from where it wrote to.
func (r *outboxRig) expect(t *testing.T, lengths []int) {
	t.Helper()
	for c, conn := range r.conns {
		want, got := map[string]bool{}, map[string]bool{}
		for i, n := range lengths {
			want[string(numbered(i, n+c%2))] = true
			buf := make([]byte, 1<<16)
			k, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("client %d: %d arrived: %v", c, i, err)
			}
			got[string(buf[:k])] = true
		}
		if !maps.Equal(want, got) {
			t.Errorf("client %d got other datagrams than were sent", c)
		}
	}
}

// TestOutboxJoins counts the messages that answers take: one for all of one length that go to one peer of this host.
func TestOutboxJoins(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		clients  int
		lengths  []int
		near     func(netip.Addr) bool
		messages int
	}{
		{"one", 1, []int{50}, onHost, 1},
		{"alike", 1, slices.Repeat([]int{50}, maxSegments), onHost, 1},
		{"more than segments", 1, slices.Repeat([]int{50}, maxSegments+1), onHost, 2},
		{"more than fits a datagram", 1, slices.Repeat([]int{1232}, 60), onHost, 2},
		{"the largest", 1, []int{65000, 65000}, onHost, 2},
		{"two lengths", 1, slices.Repeat([]int{50, 60}, 20), onHost, 2},
		{"clients in turns", 8, slices.Repeat([]int{50}, 10), onHost, 8},
		{"of another host", 2, slices.Repeat([]int{50}, 10), elsewhere, 20},
	}
	for _, way := range []struct{ listen, to string }{{"127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "::1"}, {"0.0.0.0:0", "127.0.0.77"}, {"[::]:0", "::1"}, {"[::]:0", "127.0.0.5"}} {
		for _, tt := range tests {
			t.Run(tt.name+" "+way.to, func(t *testing.T) {
				t.Parallel()
				r := newOutboxRig(t, way.listen, way.to, tt.clients)
				o := NewOutbox(128, 1<<18, tt.near)
				for range 2 { // and when it is used again
					r.answers(t, o, tt.lengths)
					if o.used != tt.messages {
						t.Errorf("%d messages, want %d", o.used, tt.messages)
					}
					if failed := o.Flush(); failed != 0 || o.Len() != 0 {
						t.Errorf("%d not sent, %d left", failed, o.Len())
					}
					r.expect(t, tt.lengths)
				}
				if o.alone {
					t.Error("the kernel refused a message")
				}
			})
		}
	}
}

// TestOutboxArrivesJoined asks the kernel whether several leave as one: a client that can take them so (UDP_GRO) gets them so.
func TestOutboxArrivesJoined(t *testing.T) {
	t.Parallel()
	r := newOutboxRig(t, "127.0.0.1:0", "127.0.0.1", 1)
	raw, err := r.conns[0].SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1) })
	if err != nil {
		t.Fatal(err)
	}
	o := NewOutbox(16, 1<<17, onHost)
	want := []byte{}
	for i := range 5 {
		o.Add(r.fd, numbered(i, 40), &r.peers[0])
		want = append(want, numbered(i, 40)...)
	}
	o.Flush()
	buf := make([]byte, 1000)
	if n, err := r.conns[0].Read(buf); err != nil || !bytes.Equal(buf[:n], want) {
		t.Errorf("%d bytes, %v; want five datagrams as one message", n, err)
	}
}

// TestOutboxWithoutSegments has a socket that cannot send several as one (here because it makes no checksums): they go one by one, from where they belong.
func TestOutboxWithoutSegments(t *testing.T) {
	t.Parallel()
	for _, way := range []struct{ listen, to string }{{"127.0.0.1:0", "127.0.0.1"}, {"0.0.0.0:0", "127.0.0.77"}} {
		r := newOutboxRig(t, way.listen, way.to, 2)
		if err := unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
			t.Fatal(err)
		}
		o := NewOutbox(64, 1<<17, onHost)
		lengths := slices.Repeat([]int{42}, 10)
		for _, messages := range []int{2, 20} { // what was refused once is not tried again
			r.answers(t, o, lengths)
			if o.used != messages {
				t.Errorf("%d messages, want %d", o.used, messages)
			}
			if failed := o.Flush(); failed != 0 {
				t.Errorf("%d not sent", failed)
			}
			r.expect(t, lengths)
		}
	}
}

// TestOutboxCountsAll has a parcel that cannot be sent at all: each of its datagrams is lost, and none of another peer.
func TestOutboxCountsAll(t *testing.T) {
	t.Parallel()
	r := newOutboxRig(t, "127.0.0.1:0", "127.0.0.1", 1)
	nowhere := r.peers[0]
	nowhere.name[2], nowhere.name[3] = 0, 0 // port 0 is EINVAL
	o := NewOutbox(16, 1<<17, onHost)
	for i := range 3 {
		o.Add(r.fd, numbered(i, 42), &nowhere)
		o.Add(r.fd, numbered(i, 42), &r.peers[0])
	}
	if failed := o.Flush(); failed != 3 {
		t.Errorf("%d not sent, want 3", failed)
	}
	r.expect(t, []int{42, 42, 42})
}

// TestOutboxJoinsAfterLongerAddresses has an IPv6 client before one of IPv4: what its address left behind does not make the other one's datagrams look like those of two.
func TestOutboxJoinsAfterLongerAddresses(t *testing.T) {
	t.Parallel()
	in, o := NewInbox(1, 100, true), NewOutbox(16, 1<<17, onHost)
	var peer Peer
	for range 2 {
		for _, addr := range []string{"::1", "127.0.0.1"} {
			fd, port := bound(t, net.JoinHostPort(map[string]string{"::1": "::", "127.0.0.1": "0.0.0.0"}[addr], "0"))
			c := dial(t, netip.AddrPortFrom(netip.MustParseAddr(addr), port))
			for range 2 {
				if _, err := c.Write([]byte("q")); err != nil {
					t.Fatal(err)
				}
				if n, errno := in.Receive(fd); n != 1 || errno != 0 {
					t.Fatal(n, errno)
				}
				in.Peer(0, &peer)
				before := peer
				if in.Peer(0, &peer); peer != before {
					t.Errorf("%s: a peer is not itself", addr)
				}
				o.Add(fd, []byte("a"), &peer)
			}
			if o.used != 1 {
				t.Errorf("%s: %d messages", addr, o.used)
			}
			if failed := o.Flush(); failed != 0 {
				t.Errorf("%d not sent", failed)
			}
		}
	}
}

// BenchmarkOutbox sends 128 answers: to as many peers, and to a few.
func BenchmarkOutbox(b *testing.B) {
	for _, peers := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("%d peers", peers), func(b *testing.B) {
			o := NewOutbox(128, 1<<17, onHost)
			all := make([]Peer, peers)
			for i := range all {
				all[i].name = [28]byte{unix.AF_INET, 0, byte(i), byte(7 * i), 127, 0, 0, 1}
				all[i].nameLen = 16
			}
			m := make([]byte, 60)
			for b.Loop() {
				for i := range 128 {
					o.Add(3, m, &all[i%peers])
				}
				o.pack()
				o.Clear()
			}
		})
	}
}
