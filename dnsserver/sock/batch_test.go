package sock

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// add makes room if there is none.
func add(o *Outbox, fd int, m []byte, to *Peer) (failed int) {
	if !o.Add(fd, m, to) {
		failed = o.Flush()
		o.Add(fd, m, to)
	}
	return failed
}

// TestBatches has more clients, and more datagrams of each, than one system call takes: each gets its own answers, in order and whole.
func TestBatches(t *testing.T) {
	t.Parallel()
	const clients, each, room = 5, 40, 8
	fd, port := bound(t, "127.0.0.1:0")
	SetReceiveBuffer(fd, 4<<20)
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	conns := make([]*net.UDPConn, clients)
	for i := range conns {
		conns[i] = dial(t, to)
		if err := conns[i].SetReadBuffer(4 << 20); err != nil {
			t.Fatal(err)
		}
		for k := range each {
			if _, err := fmt.Fprintf(conns[i], "%d of %d", k, i); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What was asked, and so much more that the answers of a few fill the outbox.
	answer := func(question []byte) []byte { return append(bytes.Repeat([]byte{'x'}, 3000), question...) }
	in, out := NewInbox(room, 100, true), NewOutbox(16, 1<<17, onHost)
	failed, calls := 0, 0
	for got := 0; got < clients*each; calls++ {
		n, errno := in.Receive(fd)
		if errno != 0 {
			t.Fatal(errno)
		}
		if n > in.Len() {
			t.Fatalf("%d datagrams where there is room for %d", n, in.Len())
		}
		for i := range n {
			var peer Peer
			in.Peer(i, &peer)
			failed += add(out, fd, answer(in.Datagram(i)), &peer)
		}
		got += n
	}
	if failed += out.Flush(); failed != 0 {
		t.Errorf("%d answers could not be sent", failed)
	}
	if calls != clients*each/room {
		t.Errorf("%d calls for %d datagrams", calls, clients*each)
	}
	if _, errno := in.Receive(fd); errno != unix.EAGAIN {
		t.Errorf("an empty socket: %v", errno)
	}
	if failed := out.Flush(); failed != 0 {
		t.Errorf("an empty outbox: %d failed", failed)
	}
	buf := make([]byte, 4000)
	for i, c := range conns {
		for k := range each {
			n, err := c.Read(buf)
			if want := answer(fmt.Appendf(nil, "%d of %d", k, i)); err != nil || !bytes.Equal(buf[:n], want) {
				t.Fatalf("client %d: answer %d is %q, %v", i, k, buf[max(0, n-20):n], err)
			}
		}
	}
}

// TestLargestDatagrams fill buffers to the end, between small ones.
func TestLargestDatagrams(t *testing.T) {
	t.Parallel()
	const largest = 65507 // over IPv4
	fd, port := bound(t, "127.0.0.1:0")
	SetReceiveBuffer(fd, 4<<20)
	c := dial(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
	if err := c.SetReadBuffer(4 << 20); err != nil {
		t.Fatal(err)
	}
	sizes := []int{1, largest, 2, largest, largest, 3}
	for i, size := range sizes {
		if _, err := c.Write(bytes.Repeat([]byte{byte('a' + i)}, size)); err != nil {
			t.Fatal(err)
		}
	}
	in, out := NewInbox(8, 1<<16-1, true), NewOutbox(16, 1<<17, onHost)
	n, errno := in.Receive(fd)
	if errno != 0 || n != len(sizes) {
		t.Fatalf("%d datagrams, %v", n, errno)
	}
	failed := 0
	for i := range n {
		var peer Peer
		in.Peer(i, &peer)
		failed += add(out, fd, in.Datagram(i), &peer)
	}
	if failed += out.Flush(); failed != 0 {
		t.Errorf("%d could not be sent", failed)
	}
	buf := make([]byte, 1<<16)
	for i, size := range sizes {
		if n, err := c.Read(buf); err != nil || n != size || buf[0] != byte('a'+i) || buf[n-1] != byte('a'+i) {
			t.Errorf("datagram %d has %d bytes of %q, %v; want %d", i, n, buf[0], err, size)
		}
	}
}

// TestOneThatCannotBeSent loses no other.
func TestOneThatCannotBeSent(t *testing.T) {
	t.Parallel()
	fd, port := bound(t, "127.0.0.1:0")
	c := dial(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
	if _, err := c.Write([]byte("q")); err != nil {
		t.Fatal(err)
	}
	in, out := NewInbox(1, 100, true), NewOutbox(16, 1<<17, onHost)
	if _, errno := in.Receive(fd); errno != 0 {
		t.Fatal(errno)
	}
	var peer Peer
	in.Peer(0, &peer)
	nowhere := peer
	nowhere.name[2], nowhere.name[3] = 0, 0 // port 0 is EINVAL
	failed := 0
	for i, p := range []*Peer{&nowhere, &peer, &nowhere, &peer, &nowhere} {
		failed += add(out, fd, []byte{byte(i)}, p)
	}
	if failed += out.Flush(); failed != 3 {
		t.Errorf("%d could not be sent, want 3", failed)
	}
	buf := make([]byte, 10)
	for _, want := range []byte{1, 3} {
		if n, err := c.Read(buf); err != nil || n != 1 || buf[0] != want {
			t.Errorf("%v, %v; want %d", buf[:n], err, want)
		}
	}
	// The next ones may leave from another socket.
	other, _ := bound(t, "127.0.0.1:0")
	if out.Add(fd, []byte{7}, &peer); out.Add(other, []byte{8}, &peer) {
		t.Error("datagrams of two sockets are in it")
	}
	if failed := out.Flush(); failed != 0 {
		t.Errorf("%d could not be sent", failed)
	}
	if n, err := c.Read(buf); err != nil || buf[0] != 7 {
		t.Errorf("%v, %v", buf[:n], err)
	}
}
