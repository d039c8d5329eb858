package sock

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// burst fills one with datagrams of these lengths, towards a server that listens, and returns it with the server's socket.
func burst(t *testing.T, addr string, lengths []int) (b *Burst, fd, server int) {
	t.Helper()
	server, port := bound(t, addr+":0")
	SetReceiveBuffer(server, 4<<20)
	fd, err := Connect(netip.AddrPortFrom(netip.MustParseAddr(trim(addr)), port), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	b = NewBurst(64, 1<<14)
	for i, n := range lengths {
		if !b.Add(fd, numbered(i, n)) {
			t.Fatalf("no room for datagram %d", i)
		}
	}
	return b, fd, server
}

func trim(addr string) string { return string(bytes.Trim([]byte(addr), "[]")) }

// numbered is the i-th datagram.
func numbered(i, length int) []byte {
	return append(fmt.Appendf(nil, "%03d", i), bytes.Repeat([]byte{byte('a' + i%26)}, length-3)...)
}

// send sends all, and returns with how many calls.
func (b *Burst) send(t *testing.T) (calls int) {
	t.Helper()
	for i := 0; i < b.Len(); calls++ {
		n, errno := b.Send(i)
		if errno != 0 {
			t.Fatal(errno)
		}
		i += n
	}
	return calls
}

// TestBurst mixes lengths: each datagram arrives as it was, in the order that Arrange tells, and those of one length go as one message.
func TestBurst(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		lengths  []int
		messages int
	}{
		{"one", []int{50}, 1},
		{"alike", slices.Repeat([]int{42}, 64), 1},
		{"two lengths in turns", slices.Repeat([]int{42, 53}, 20), 2},
		{"all different: in pairs", []int{31, 30, 29, 28, 27, 26, 25}, 4},
		{"a shorter one ends a message", []int{40, 40, 30, 20, 20}, 2},
	}
	for _, addr := range []string{"127.0.0.1", "[::1]"} {
		for _, tt := range tests {
			t.Run(tt.name+" "+addr, func(t *testing.T) {
				t.Parallel()
				b, _, server := burst(t, addr, tt.lengths)
				order := slices.Clone(b.Arrange())
				if n := b.pack(0); n != tt.messages {
					t.Errorf("%d messages, want %d", n, tt.messages)
				}
				if calls := b.send(t); calls != 1 {
					t.Errorf("%d calls", calls)
				}
				expect(t, server, order, tt.lengths)
			})
		}
	}
}

func expect(t *testing.T, server int, order []uint8, lengths []int) {
	t.Helper()
	if len(order) != len(lengths) {
		t.Fatalf("%d in order of %d", len(order), len(lengths))
	}
	in := NewInbox(len(lengths)+1, 1000, false)
	n, errno := in.Receive(server)
	if errno != 0 || n != len(lengths) {
		t.Fatalf("%d of %d arrived, %v", n, len(lengths), errno)
	}
	for k, i := range order {
		if want := numbered(int(i), lengths[i]); !bytes.Equal(in.Datagram(k), want) {
			t.Errorf("the %d. is %q, want %q", k, in.Datagram(k), want)
		}
	}
}

// TestBurstFromTheMiddle goes on after one that could not be sent.
func TestBurstFromTheMiddle(t *testing.T) {
	t.Parallel()
	lengths := slices.Repeat([]int{42, 53}, 5)
	b, _, server := burst(t, "127.0.0.1", lengths)
	order := slices.Clone(b.Arrange())
	if n, errno := b.Send(3); n != 7 || errno != 0 {
		t.Fatalf("%d sent, %v", n, errno)
	}
	in := NewInbox(16, 100, false)
	if n, _ := in.Receive(server); n != 7 {
		t.Fatalf("%d arrived", n)
	}
	for k, i := range order[3:] {
		if want := numbered(int(i), lengths[i]); !bytes.Equal(in.Datagram(k), want) {
			t.Errorf("the %d. is %q, want %q", k, in.Datagram(k), want)
		}
	}
}

// TestBurstWithoutSegments has a socket that cannot send several as one (here because it makes no checksums): they go one by one, now and later.
func TestBurstWithoutSegments(t *testing.T) {
	t.Parallel()
	lengths := slices.Repeat([]int{42}, 10)
	b, fd, server := burst(t, "127.0.0.1", lengths)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
		t.Fatal(err)
	}
	order := slices.Clone(b.Arrange())
	b.send(t)
	expect(t, server, order, lengths)
	if n := b.pack(0); n != len(lengths) {
		t.Errorf("%d messages after the kernel refused one with segments", n)
	}
}

// TestBurstOfOneSocket takes no datagram of another socket, and none for which there is no room.
func TestBurstOfOneSocket(t *testing.T) {
	t.Parallel()
	b := NewBurst(2, 100)
	if !b.Add(7, make([]byte, 60)) || b.Add(8, make([]byte, 10)) || b.Add(7, make([]byte, 41)) || !b.Add(7, make([]byte, 40)) || b.Add(7, nil) {
		t.Errorf("%d taken", b.Len())
	}
	if b.Clear(); b.Len() != 0 || !b.Add(8, make([]byte, 100)) {
		t.Error("not empty after Clear")
	}
}

// TestBurstTellsOfAClosedPort has nobody who listens: the error of what was sent before comes with the next call.
func TestBurstTellsOfAClosedPort(t *testing.T) {
	t.Parallel()
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := Connect(server.LocalAddr().(*net.UDPAddr).AddrPort(), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	server.Close()
	b := NewBurst(8, 1000)
	for range 3 {
		b.Add(fd, numbered(0, 40))
	}
	b.Arrange()
	sent, errno := b.Send(0)
	if errno != 0 || sent == 0 {
		t.Fatalf("%d sent, %v", sent, errno)
	}
	if n, errno := b.Send(0); errno != unix.ECONNREFUSED || n != 0 {
		t.Errorf("%d sent, %v; want ECONNREFUSED", n, errno)
	}
	if b.alone {
		t.Error("a closed port was taken for a kernel without UDP_SEGMENT")
	}
}
