package sock

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is what recvmmsg(2) and sendmmsg(2) take for each datagram.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32 // bytes received or sent
}

// skew keeps buffers of a power of two from lying at the same place of every page, where they would push each other out of the processor's cache.
const skew = 192

// ctrlRoom is more than what comes with a datagram: packet information, and perhaps another message of the socket's owner.
const ctrlRoom = 64

// Inbox takes several datagrams with one system call (recvmmsg(2)).
type Inbox struct {
	hdrs   []mmsghdr
	iovs   []unix.Iovec
	names  [][unix.SizeofSockaddrInet6]byte // none: the sender is not asked for
	ctrls  [][ctrlRoom]byte
	buf    []byte
	stride int
	used   int // of the last Receive
}

// NewInbox makes room for n datagrams of at most size bytes; longer ones are cut. peers tells whether [Inbox.Peer] will be asked. Memory is only touched
// as far as datagrams fill it.
func NewInbox(n, size int, peers bool) *Inbox {
	in := &Inbox{hdrs: make([]mmsghdr, n), iovs: make([]unix.Iovec, n), stride: size + skew, used: n}
	in.buf = make([]byte, n*in.stride)
	if peers {
		in.names, in.ctrls = make([][unix.SizeofSockaddrInet6]byte, n), make([][ctrlRoom]byte, n)
	}
	for i := range in.hdrs {
		in.iovs[i].Base = &in.buf[i*in.stride]
		in.iovs[i].SetLen(size)
		h := &in.hdrs[i].hdr
		h.Iov = &in.iovs[i]
		h.SetIovlen(1)
		if peers {
			h.Name, h.Control = &in.names[i][0], &in.ctrls[i][0]
		}
	}
	return in
}

// Receive takes what has arrived at a non-blocking socket, as much as there is room for, and returns how many datagrams that are. What was received
// before is gone. EAGAIN means that there is none. It never blocks, whatever others who hold the socket make of it.
func (in *Inbox) Receive(fd int) (int, unix.Errno) {
	if in.names != nil { // the kernel wrote how much it used
		for i := range in.used {
			h := &in.hdrs[i].hdr
			h.Namelen = unix.SizeofSockaddrInet6
			h.SetControllen(ctrlRoom)
		}
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&in.hdrs[0])), uintptr(len(in.hdrs)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		in.used = 0
		return 0, errno
	}
	in.used = int(n)
	return in.used, 0
}

// Len is how many datagrams there is room for: if Receive returned fewer, the socket was empty.
func (in *Inbox) Len() int { return len(in.hdrs) }

// Datagram is the i-th of those received last. There is room behind it for what may be appended.
func (in *Inbox) Datagram(i int) []byte {
	from := i * in.stride
	n := int(in.hdrs[i].n)
	return in.buf[from : from+n : from+in.stride]
}

// Peer says who sent the i-th of those received last.
func (in *Inbox) Peer(i int, to *Peer) {
	h := &in.hdrs[i].hdr
	*to = Peer{nameLen: uint8(h.Namelen)} // peers are compared byte by byte
	copy(to.name[:], in.names[i][:h.Namelen])
	if n := int(h.Controllen); n > 0 {
		to.keepLocal(in.ctrls[i][:n])
	}
}

// sendmmsg sends datagrams with one system call (sendmmsg(2)), which never blocks, and returns how many have left. An error is that of the first one.
func sendmmsg(fd int, hdrs []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&hdrs[0])), uintptr(len(hdrs)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}
