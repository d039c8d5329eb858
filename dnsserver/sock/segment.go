package sock

import (
	"encoding/binary"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// segmentCtrl is a control message with the length of a segment (UDP_SEGMENT, udp(7)).
type segmentCtrl [unix.SizeofCmsghdr + 8]byte

// Limits of what goes through the kernel as one message: segments (64 in older kernels, which count headers as if they were in them), and bytes of any datagram over IPv6.
const (
	maxSegments     = 60
	maxSegmentBytes = 1<<16 - 1 - 40 - 8
)

// putSegment writes a control message that tells the kernel where to cut a message, and returns its length.
func putSegment(b []byte, size int) int {
	c := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	c.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[unix.SizeofCmsghdr:], uint16(size))
	return len(segmentCtrl{})
}

// segments says whether the kernel cuts messages. One before 4.18 skips what tells it to, and would send all as one datagram.
var segments = sync.OnceValue(func() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	_, err = unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT)
	return err == nil
})

// refusesSegments says whether an error may be about UDP_SEGMENT and not about the datagram: EINVAL of a kernel or a length that it does not take, EIO of a way that
// cannot do without a checksum made here.
func refusesSegments(errno unix.Errno) bool {
	switch errno {
	case unix.EINVAL, unix.EIO, unix.EOPNOTSUPP, unix.EMSGSIZE:
		return true
	}
	return false
}
