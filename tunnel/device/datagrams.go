package device

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// socket is a UDP socket that carries many datagrams with one system call: recvmmsg(2) and
// sendmmsg(2) of messages each of which the kernel has made of several datagrams (UDP_GRO),
// or takes apart into them (UDP_SEGMENT); see udp(7).
type socket struct {
	conn *net.UDPConn
	pc   batches
	port uint16
	v6   bool
	both bool        // an IPv6 socket that carries IPv4 too
	gro  bool        // the kernel joins what arrives
	gso  atomic.Bool // the kernel takes apart what we send
	out  sync.Pool   // of *outgoing
}

// batches are sendmmsg and recvmmsg.
type batches interface {
	ReadBatch([]ipv6.Message, int) (int, error)
	WriteBatch([]ipv6.Message, int) (int, error)
}

const (
	// mostSegments is how many datagrams the kernel makes one message of, or takes one
	// message apart into (UDP_MAX_SEGMENTS, which was 64 before Linux 6.9, and UDP_GRO_CNT_MAX).
	mostSegments = 64
	// mostBytes is the payload of the largest message, of IPv4 as of IPv6.
	mostBytes = 1<<16 - 1 - 20 - 8
	// joined is how many messages are read at once where each may be of mostSegments.
	joined = conn.IdealBatchSize / mostSegments
)

// receiver returns what reads the socket; it is for one goroutine.
func (s *socket) receiver() conn.ReceiveFunc {
	var messages [conn.IdealBatchSize]ipv6.Message
	var control [conn.IdealBatchSize][controlRoom]byte
	var buffer [conn.IdealBatchSize][1][]byte
	var last *endpoint // most packets come from where the last one came from
	return func(packets [][]byte, sizes []int, endpoints []conn.Endpoint) (int, error) {
		// What the kernel has joined goes into the last buffers and from there, packet by
		// packet, into the first.
		first := 0
		if s.gro {
			first = max(len(packets)-joined, 0)
		}
		list := messages[:len(packets)-first]
		for i := range list {
			buffer[i][0] = packets[first+i]
			list[i] = ipv6.Message{Buffers: buffer[i][:], OOB: control[i][:]}
		}
		n, err := s.pc.ReadBatch(list, 0)
		if err != nil {
			return 0, err
		}
		count := 0
		for i := range list[:n] {
			m := &list[i]
			at, ok := m.Addr.(*net.UDPAddr)
			if !ok || m.N == 0 {
				continue
			}
			size, from := parseControl(m.OOB[:m.NN])
			if to := unmapped(at.AddrPort()); !last.is(to, from) {
				last = &endpoint{to: to, from: from}
			}
			if size <= 0 {
				size = m.N
			}
			// A packet never overtakes the message that it comes from.
			for rest := m.Buffers[0][:m.N]; len(rest) > 0 && count <= first+i; count++ {
				sizes[count] = copy(packets[count], rest[:min(size, len(rest))])
				rest = rest[sizes[count]:]
				endpoints[count] = last
			}
		}
		return count, nil
	}
}

// outgoing is the memory of one call of send.
type outgoing struct {
	messages [conn.IdealBatchSize]ipv6.Message
	control  [conn.IdealBatchSize][controlRoom]byte
	address  net.UDPAddr
	ip       [16]byte
}

// send sends packets in their order, from an address if that is valid.
func (s *socket) send(packets [][]byte, to netip.AddrPort, from netip.Addr) error {
	o, _ := s.out.Get().(*outgoing)
	if o == nil {
		o = new(outgoing)
	}
	defer s.out.Put(o)
	o.address = net.UDPAddr{IP: append(o.ip[:0], to.Addr().AsSlice()...), Port: int(to.Port()), Zone: to.Addr().Zone()}
	join := s.gso.Load()
	for len(packets) > 0 {
		list := o.fill(packets, join, s.control(from))
		n, err := s.pc.WriteBatch(list, 0)
		for i := range list[:max(n, 0)] {
			packets = packets[len(list[i].Buffers):]
		}
		clear(list)
		switch {
		case err == nil:
		case join && errors.Is(err, unix.EIO):
			// The network card cannot do checksums (udp_send_skb in Linux).
			s.gso.Store(false)
			join = false
		case join && (errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.EINVAL)):
			join = false // larger than the path now carries: one by one they can be fragments
		default:
			return err
		}
	}
	return nil
}

// fill makes messages of packets: where they may be joined one of those that follow each
// other and have one size, of which only the last may be smaller.
func (o *outgoing) fill(packets [][]byte, join bool, source []byte) []ipv6.Message {
	n := 0
	for len(packets) > 0 && n < len(o.messages) {
		run := 1
		if join {
			run = runOf(packets)
		}
		control := append(o.control[n][:0], source...)
		if run > 1 {
			control = appendSegmentSize(control, len(packets[0]))
		}
		o.messages[n] = ipv6.Message{Buffers: packets[:run], OOB: control, Addr: &o.address}
		packets = packets[run:]
		n++
	}
	return o.messages[:n]
}

// runOf is how many packets from the first one on can be one message.
func runOf(packets [][]byte) int {
	size, total := len(packets[0]), 0
	for i, p := range packets {
		total += len(p)
		if i == mostSegments || len(p) > size || total > mostBytes {
			return i
		}
		if len(p) < size {
			return i + 1
		}
	}
	return len(packets)
}

func (s *socket) setMark(mark uint32) error {
	if s == nil {
		return nil
	}
	return s.with(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)) })
}

// with calls f with the descriptor.
func (s *socket) with(f func(fd int) error) error {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) { err = f(int(fd)) })
	return errors.Join(cerr, err)
}

func (s *socket) close() error {
	if s == nil {
		return nil
	}
	return s.conn.Close()
}
