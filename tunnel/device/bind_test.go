package device

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// arrival is a packet that a bind has received.
type arrival struct {
	packet []byte
	from   *endpoint
}

// opened opens a bind on a port until the test is over, and returns what arrives.
func opened(t *testing.T, b *bind, port uint16) (uint16, <-chan arrival) {
	t.Helper()
	receive, port, err := b.Open(port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	got := make(chan arrival, 1<<14)
	for _, f := range receive {
		go func() {
			packets, sizes, from := make([][]byte, b.BatchSize()), make([]int, b.BatchSize()), make([]conn.Endpoint, b.BatchSize())
			for i := range packets {
				packets[i] = make([]byte, 1<<16)
			}
			for {
				n, err := f(packets, sizes, from)
				if err != nil {
					return
				}
				for i := range n {
					got <- arrival{bytes.Clone(packets[i][:sizes[i]]), from[i].(*endpoint)}
				}
			}
		}()
	}
	return port, got
}

// next is the next packet that arrives.
func next(t *testing.T, got <-chan arrival) arrival {
	t.Helper()
	select {
	case a := <-got:
		return a
	case <-time.After(20 * time.Second):
		t.Fatal("nothing arrives")
		return arrival{}
	}
}

// loopback gives the test a network of its own with some addresses.
func loopback(t *testing.T, addresses ...string) {
	t.Helper()
	ownNetwork(t)
	for _, a := range addresses {
		add(t, a)
	}
}

func add(t *testing.T, a string) {
	t.Helper()
	addr, err := netlink.ParseAddr(a)
	if err == nil {
		addr.Flags = unix.IFA_F_NODAD
		err = netlink.AddrAdd(link(t, "lo"), addr)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// remote is where a packet goes to.
func remote(t *testing.T, address string, port uint16) *endpoint {
	t.Helper()
	a, err := netip.ParseAddr(address)
	if err != nil {
		t.Fatal(err)
	}
	return &endpoint{to: netip.AddrPortFrom(a, port)}
}

// Packets of any size arrive as they were sent, in their order, whether the kernel joins
// and takes apart or not.
func TestPacketsArriveAsTheyWereSent(t *testing.T) {
	loopback(t)
	for _, join := range []bool{true, false} {
		for _, address := range []string{"127.0.0.1", "::1"} {
			{ // a subtest would be in another namespace
				from, to := &bind{}, &bind{}
				opened(t, from, 0)
				port, got := opened(t, to, 0)
				for _, s := range []*socket{from.v4, from.v6} {
					if !s.gso.Load() || !s.gro {
						t.Error("this kernel joins and takes apart, and we do not know of it")
					}
					s.gso.Store(join)
				}
				for range 50 {
					var sent [][]byte
					total, size := 0, 1+rand.IntN(2000)
					for len(sent) < from.BatchSize() && total < 1<<17 {
						if rand.IntN(8) == 0 {
							size = 1 + rand.IntN(30_000)
						}
						p := make([]byte, size)
						for i := range p {
							p[i] = byte(rand.Uint32())
						}
						total += size
						sent = append(sent, p)
					}
					if err := from.Send(sent, remote(t, address, port)); err != nil {
						t.Fatal(err)
					}
					for i, p := range sent {
						if a := next(t, got); !bytes.Equal(a.packet, p) || a.from.DstIP().String() != address {
							t.Fatalf("%s, joined %v: packet %d of %d: %d bytes from %v, sent %d", address, join, i, len(sent), len(a.packet), a.from.to, len(p))
						}
					}
				}
			}
		}
	}
}

// What is one message goes as one: a thousand packets must not be a thousand system calls.
func TestRunsOfPackets(t *testing.T) {
	t.Parallel()
	of := func(sizes ...int) (out [][]byte) {
		for _, n := range sizes {
			out = append(out, make([]byte, n))
		}
		return out
	}
	many := make([]int, 100)
	for i := range many {
		many[i] = 100
	}
	for _, test := range []struct {
		packets [][]byte
		want    int
	}{
		{of(100), 1},
		{of(100, 100, 100), 3},
		{of(100, 100, 50, 100), 3}, // a smaller one is the last
		{of(100, 101), 1},
		{of(many...), 64},
		{of(30_000, 30_000, 30_000), 2}, // 64 kB at most
	} {
		if got := runOf(test.packets); got != test.want {
			t.Errorf("%d packets, the first of %d bytes: %d, want %d", len(test.packets), len(test.packets[0]), got, test.want)
		}
	}
}

// Answers leave from the address that the packet came to, many at once or alone.
func TestAnswersLeaveFromWhereTheQuestionCameTo(t *testing.T) {
	loopback(t, "10.1.0.1/32", "10.1.0.2/32", "fd01::1/128", "fd01::2/128")
	for _, dual := range []bool{false, true} {
		{
			ours, theirs := &bind{}, &bind{}
			port := uint16(0)
			if dual {
				ours.handed = []*os.File{udpSocket(t, "udp", ":0")}
				port = portOf(t, ours.handed[0])
			}
			port, got := opened(t, ours, port)
			if dual != (ours.v4 == nil) {
				t.Fatalf("sockets %v, %v", ours.v4, ours.v6)
			}
			_, answers := opened(t, theirs, 0)
			for _, address := range []string{"10.1.0.2", "10.1.0.1", "fd01::2", "fd01::1"} {
				for _, n := range []int{1, 20} {
					question := make([][]byte, n)
					for i := range question {
						question[i] = []byte("question")
					}
					if err := theirs.Send(question, remote(t, address, port)); err != nil {
						t.Fatal(err)
					}
					for range n {
						a := next(t, got)
						if a.from.SrcIP().String() != address {
							t.Errorf("what went to %s came to %s", address, a.from.SrcToString())
						}
						if err := ours.Send([][]byte{[]byte("answer")}, a.from); err != nil {
							t.Fatal(err)
						}
						if from := next(t, answers).from.DstIP().String(); from != address {
							t.Errorf("asked %s, and %s answers", address, from)
						}
					}
				}
			}
		}
	}
}

// Unasked, packets leave from the address that clients dial while this host has it. Where a
// peer was answered from an address that has gone it is answered from another one, unless
// clients dial it: another host has it now.
func TestPacketsLeaveFromTheEndpoint(t *testing.T) {
	loopback(t, "10.1.0.1/32", "10.1.0.2/32")
	for _, test := range []struct{ dialled, last, want string }{
		{"10.1.0.2", "", "10.1.0.2"},
		{"10.1.0.2", "10.1.0.1", "10.1.0.1"}, // it came by another way
		{"10.1.0.9", "", "127.0.0.1"},        // another host has it
		{"10.1.0.9", "10.1.0.9", ""},         // since a moment ago
		{"10.1.0.2", "10.1.0.9", "127.0.0.1"},
		{"fd01::1", "", "127.0.0.1"},
		{"", "", "127.0.0.1"}, // clients dial a name
		{"", "10.1.0.9", "127.0.0.1"},
	} {
		dialled, _ := netip.ParseAddr(test.dialled)
		last, _ := netip.ParseAddr(test.last)
		ours, theirs := &bind{dialled: dialled}, &bind{}
		ours.look()
		opened(t, ours, 0)
		port, got := opened(t, theirs, 0)
		to := remote(t, "127.0.0.1", port)
		to.from = last
		err := ours.Send([][]byte{[]byte("call")}, to)
		if test.want == "" {
			if err == nil {
				t.Errorf("%+v: it was sent from %s", test, next(t, got).from.DstIP())
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if from := next(t, got).from.DstIP().String(); from != test.want {
			t.Errorf("%+v: it leaves from %s", test, from)
		}
	}
}

// udpSocket is a socket that another process might hand over.
func udpSocket(t *testing.T, network, address string) *os.File {
	t.Helper()
	c, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := c.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func portOf(t *testing.T, f *os.File) uint16 {
	t.Helper()
	s, err := takeSocket(f)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	return s.port
}

// What arrives at a socket that was handed over while nobody reads it is not lost.
func TestHandedSocketsKeepWhatArrives(t *testing.T) {
	loopback(t)
	f := udpSocket(t, "udp4", "127.0.0.1:0")
	port := portOf(t, f)
	client, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	b := &bind{handed: []*os.File{f}}
	for range 3 {
		if _, err := client.Write([]byte("hello")); err != nil { // refused if nobody had the port
			t.Fatal(err)
		}
		receive, got, err := b.Open(port)
		if err != nil || got != port {
			t.Fatal(got, err)
		}
		packets, sizes, from := make([][]byte, b.BatchSize()), make([]int, b.BatchSize()), make([]conn.Endpoint, b.BatchSize())
		for i := range packets {
			packets[i] = make([]byte, 1<<16)
		}
		if n, err := receive[0](packets, sizes, from); n != 1 || err != nil || string(packets[0][:sizes[0]]) != "hello" {
			t.Error(n, err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if n, err := receive[0](packets, sizes, from); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed socket says %d, %v", n, err)
		}
	}
	// Another port is not theirs.
	if _, got, err := b.Open(0); err != nil || got == port {
		t.Error(got, err)
	}
	_ = b.Close()
}

// Who keeps a socket may look at its descriptor, as to give it to another program, while
// another process reads it: that one can end nevertheless.
func TestReadingAHeldSocketEnds(t *testing.T) {
	loopback(t)
	own, err := openSocket(false, 0)
	if err != nil {
		t.Fatal(err)
	}
	f, err := own.hold()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_ = own.close()
	b := &bind{handed: []*os.File{f}}
	receive, _, err := b.Open(own.port)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Fd()
	err = b.v4.with(func(fd int) error {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err == nil && flags&unix.O_NONBLOCK == 0 {
			err = errors.New("the socket blocks who reads it")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		packets, sizes, from := make([][]byte, b.BatchSize()), make([]int, b.BatchSize()), make([]conn.Endpoint, b.BatchSize())
		for i := range packets {
			packets[i] = make([]byte, 1<<16)
		}
		_, err := receive[0](packets, sizes, from)
		ended <- err
	}()
	closed := make(chan struct{})
	go func() { _ = b.Close(); close(closed) }()
	for range 2 {
		select {
		case err := <-ended:
			if !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			ended = nil
		case <-closed:
			closed = nil
		case <-time.After(20 * time.Second):
			t.Fatal("it is still read")
		}
	}
}

func TestHandedSocketsThatAreNone(t *testing.T) {
	loopback(t)
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	listener, err := tcp.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	one := udpSocket(t, "udp4", "127.0.0.1:0")
	for _, handed := range [][]*os.File{{listener}, {one, one}} {
		b := &bind{handed: handed}
		if _, _, err := b.Open(portOf(t, one)); err == nil {
			t.Errorf("%v was taken", handed)
			_ = b.Close()
		}
	}
}

// A port is another program's or ours, for both families.
func TestTakenPorts(t *testing.T) {
	loopback(t)
	other := &bind{}
	port, _ := opened(t, other, 0)
	b := &bind{}
	if _, _, err := b.Open(port); !errors.Is(err, unix.EADDRINUSE) {
		t.Error(err)
	}
	if files, err := Listen(netip.AddrPortFrom(netip.IPv4Unspecified(), port)); len(files) != 0 || err != nil {
		t.Error(files, err) // the gateway will say whose it is
	}
}

// A gateway that stands by sends nothing, and one that has the address does.
func TestNothingLeavesWithoutTheFloatingAddress(t *testing.T) {
	t.Parallel()
	other := &bind{}
	at, got := opened(t, other, 0)
	b := &bind{dialled: netip.MustParseAddr("127.0.0.1"), floating: true}
	opened(t, b, 0)
	to := &endpoint{to: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at)}
	for _, step := range []struct {
		here bool
		text string
	}{{false, "while another host has the address"}, {true, "while this one has it"}} {
		b.here.Store(step.here)
		if err := b.Send([][]byte{[]byte(step.text)}, to); err != nil {
			t.Fatal(err)
		}
	}
	if a := next(t, got); string(a.packet) != "while this one has it" {
		t.Errorf("%q has left", a.packet)
	}
}
