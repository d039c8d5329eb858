package sock

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// answerCtrl is room for the address that an answer leaves from and the length of a segment.
type answerCtrl [len(Peer{}.ctrl) + len(segmentCtrl{})]byte

const none = -1

// parcel is what one message carries: datagrams of one length to one peer.
type parcel struct {
	peer        Peer
	size        int
	n           int
	first, last int16 // datagrams
	far         bool  // nothing is joined
}

// Outbox collects datagrams that leave from one socket, to send them with one system call (sendmmsg(2)). Those of one length for one peer on this host leave as one message
// (see [Burst]); farther ways may have a path MTU or a network card that does not like it, and hardly anybody asks from there so fast.
type Outbox struct {
	near    func(netip.Addr) bool
	hdrs    []mmsghdr
	iovs    []unix.Iovec // as the headers refer to them
	ctrls   []answerCtrl
	parcels []parcel
	index   []int16      // parcels by the port of the peer, with linear probing
	grams   []unix.Iovec // datagrams in the order in which they came
	next    []int16      // the next one of the same parcel
	buf     []byte
	fd      int
	n, end  int
	used    int  // parcels
	alone   bool // the kernel does not join, or not on this way
}

// NewOutbox makes an empty one, with room for n datagrams, at most 8,192, that together are at most size bytes long. near says whether an address is on this host.
func NewOutbox(n, size int, near func(netip.Addr) bool) *Outbox {
	places := 1
	for places < 2*n {
		places *= 2
	}
	o := &Outbox{
		near: near, hdrs: make([]mmsghdr, n), iovs: make([]unix.Iovec, n), ctrls: make([]answerCtrl, n), parcels: make([]parcel, n),
		index: make([]int16, places), grams: make([]unix.Iovec, n), next: make([]int16, n), buf: make([]byte, size), alone: !segments(),
	}
	o.Clear()
	return o
}

// Len is how many datagrams are in it.
func (o *Outbox) Len() int { return o.n }

// Clear empties it.
func (o *Outbox) Clear() {
	o.n, o.end, o.used = 0, 0, 0
	for i := range o.index {
		o.index[i] = none
	}
}

// Add takes a copy of a datagram to a peer, which is to leave from the address that the peer wrote to.
// It returns false if there is no room, or if it holds datagrams of another socket.
func (o *Outbox) Add(fd int, m []byte, to *Peer) bool {
	if o.n == len(o.grams) || o.end+len(m) > len(o.buf) || o.n > 0 && fd != o.fd {
		return false
	}
	o.fd = fd
	i := int16(o.n)
	o.grams[i].Base = &o.buf[o.end]
	o.grams[i].SetLen(copy(o.buf[o.end:], m))
	o.next[i] = none
	o.end += len(m)
	o.n++
	if p := o.parcelFor(to, len(m)); p.n == 0 {
		p.first, p.last, p.n = i, i, 1
	} else {
		o.next[p.last], p.last = i, i
		p.n++
	}
	return true
}

// parcelFor finds the parcel that a datagram belongs to, or begins one.
func (o *Outbox) parcelFor(to *Peer, size int) *parcel {
	mask := len(o.index) - 1
	at := int(to.Port()) & mask
	far := o.alone
	for ; o.index[at] != none; at = (at + 1) & mask {
		p := &o.parcels[o.index[at]]
		if far || p.size != size || p.peer != *to || p.n == maxSegments || (p.n+1)*size > maxSegmentBytes {
			continue
		}
		if p.far = p.far || !o.near(to.Addr()); !p.far {
			return p
		}
		far = true // so are the others of that peer
	}
	o.index[at] = int16(o.used)
	p := &o.parcels[o.used]
	*p = parcel{peer: *to, size: size, far: far}
	o.used++
	return p
}

// Flush sends what is in it and empties it. It returns how many datagrams could not be sent; they are lost, as on any network.
func (o *Outbox) Flush() (failed int) {
	if o.n == 0 {
		return 0
	}
	o.pack()
	for i := 0; i < o.used; {
		n, errno := sendmmsg(o.fd, o.hdrs[i:o.used])
		if errno != 0 { // that of the first one
			failed += o.refused(i, errno)
			n = 1
		}
		i += n
	}
	o.Clear()
	return failed
}

// pack fills a header for each parcel.
func (o *Outbox) pack() {
	at := 0
	for i := range o.used {
		p, h, c := &o.parcels[i], &o.hdrs[i].hdr, &o.ctrls[i]
		h.Name, h.Namelen = &p.peer.name[0], uint32(p.peer.nameLen)
		h.Iov = &o.iovs[at]
		h.SetIovlen(p.n)
		for k := p.first; k != none; k = o.next[k] {
			o.iovs[at] = o.grams[k]
			at++
		}
		n := copy(c[:], p.peer.control())
		if p.n > 1 {
			n += putSegment(c[n:], p.size)
		}
		h.Control = &c[0]
		h.SetControllen(n)
	}
}

// refused is called when a parcel was not sent. Its datagrams are sent one by one, unless there is no room, and what is lost is counted.
func (o *Outbox) refused(i int, errno unix.Errno) (failed int) {
	p, h := &o.parcels[i], &o.hdrs[i].hdr
	if p.n == 1 || errno == unix.EAGAIN {
		return p.n
	}
	o.alone = o.alone || refusesSegments(errno)
	h.SetIovlen(1)
	h.SetControllen(len(p.peer.control())) // without the length of a segment
	for k := p.first; k != none; k = o.next[k] {
		h.Iov = &o.grams[k]
		if n, _ := sendmmsg(o.fd, o.hdrs[i:i+1]); n != 1 {
			failed++
		}
	}
	return failed
}
