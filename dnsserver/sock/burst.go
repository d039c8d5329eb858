package sock

import (
	"golang.org/x/sys/unix"
)

// Burst collects datagrams that leave from one connected socket. Those of the same length go through the kernel as one, which the receiver's socket takes apart
// again (UDP_SEGMENT, since Linux 4.18): most of what sending over loopback costs is paid for each message, not for each datagram.
type Burst struct {
	hdrs  []mmsghdr
	iovs  []unix.Iovec
	ctrls []segmentCtrl
	runs  []uint8 // how many datagrams each header carries
	order []uint8 // of the datagrams, the longest first
	buf   []byte
	fd    int
	n     int
	end   int
	alone bool // the kernel does not know UDP_SEGMENT, or not on this way
}

// NewBurst makes an empty one, with room for n datagrams, at most maxSegments, that together are at most size bytes long.
func NewBurst(n, size int) *Burst {
	return &Burst{
		hdrs: make([]mmsghdr, n), iovs: make([]unix.Iovec, n), ctrls: make([]segmentCtrl, n),
		runs: make([]uint8, n), order: make([]uint8, n), buf: make([]byte, size), alone: !segments(),
	}
}

// Len is how many datagrams are in it.
func (b *Burst) Len() int { return b.n }

// Clear empties it.
func (b *Burst) Clear() { b.n, b.end = 0, 0 }

// Add takes a copy of a datagram. It returns false if there is no room, or if it holds datagrams of another socket.
func (b *Burst) Add(fd int, m []byte) bool {
	if b.n == len(b.iovs) || b.end+len(m) > len(b.buf) || b.n > 0 && fd != b.fd {
		return false
	}
	b.fd = fd
	b.iovs[b.n].Base = &b.buf[b.end]
	b.iovs[b.n].SetLen(copy(b.buf[b.end:], m))
	b.end += len(m)
	b.n++
	return true
}

// Arrange puts the datagrams in the order in which they will be sent, and returns which of those added each of them is. It is called once, when all are in.
func (b *Burst) Arrange() []uint8 {
	for i := range b.n {
		at := i
		one := b.iovs[i]
		for ; at > 0 && b.iovs[at-1].Len < one.Len; at-- {
			b.iovs[at], b.order[at] = b.iovs[at-1], b.order[at-1]
		}
		b.iovs[at], b.order[at] = one, uint8(i)
	}
	return b.order[:b.n]
}

// Send sends what is in it from the i-th datagram of the order on, and returns how many have left. An error is that of the i-th, and the socket's, and then none has.
// If fewer have left than there are, the kernel has met an error and forgotten it.
func (b *Burst) Send(i int) (int, unix.Errno) {
	for {
		n, errno := sendmmsg(b.fd, b.hdrs[:b.pack(i)])
		if errno == 0 {
			left := 0
			for _, r := range b.runs[:n] {
				left += int(r)
			}
			return left, 0
		}
		if b.runs[0] == 1 || !refusesSegments(errno) {
			return 0, errno
		}
		b.alone = true
	}
}

// pack fills headers for the i-th and all after it, and returns how many. A header carries datagrams of one length, and a last one that may be shorter.
func (b *Burst) pack(i int) (headers int) {
	for i < b.n {
		size := b.iovs[i].Len
		run := 1
		for !b.alone && i+run < b.n && b.iovs[i+run-1].Len == size {
			run++
		}
		h := &b.hdrs[headers].hdr
		h.Iov = &b.iovs[i]
		h.SetIovlen(run)
		h.Control = nil
		h.SetControllen(0)
		if run > 1 {
			c := &b.ctrls[headers]
			h.Control = &c[0]
			h.SetControllen(putSegment(c[:], int(size)))
		}
		b.runs[headers] = uint8(run)
		headers++
		i += run
	}
	return headers
}
