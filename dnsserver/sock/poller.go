package sock

import (
	"fmt"
	"net"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// zoneID is the interface index of an IPv6 zone, given by name or number; 0 if there is none.
func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}

// Poller is an epoll instance. Each descriptor carries a tag that comes back with its events.
type Poller struct {
	fd     int
	events [128]unix.EpollEvent
}

// NewPoller opens an epoll instance.
func NewPoller() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &Poller{fd: fd}, nil
}

// Tag identifies a descriptor in the events of a Poller.
type Tag struct{ Kind, Index int32 }

// Add watches fd for input. Descriptors that several pollers watch are to be shared: only some of those are woken then.
func (p *Poller) Add(fd int, tag Tag, shared bool) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: tag.Index, Pad: tag.Kind}
	if shared {
		ev.Events |= unix.EPOLLEXCLUSIVE
	}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// Remove stops watching fd. Closing the last descriptor of a socket does so too.
func (p *Poller) Remove(fd int) { _ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil) }

// Close closes the instance.
func (p *Poller) Close() { unix.Close(p.fd) }

// Event is one ready descriptor.
type Event struct {
	Tag
	Error bool
}

// heldWait is for how many milliseconds Wait keeps what runs goroutines: where a loop gets some hundred datagrams a second, something comes before they are over. Then it never lets
// go, and the runtime's monitor has nothing to look after but to interrupt it every 10 ms, which it does to whoever runs for so long.
const heldWait = 4

// Wait returns the number of ready descriptors; Event reads each. timeout is in milliseconds, -1 for none.
//
// At first it waits without a word to the scheduler, which spares both the hand-over of a blocking call and the runtime's monitor, which looks every 20
// microseconds for threads that block. Nobody goes short: a collection interrupts it by a signal, and other goroutines run on another thread as long as
// GOMAXPROCS is more than the number of pollers.
func (p *Poller) Wait(timeout int) int {
	held := heldWait
	if timeout >= 0 {
		held = min(held, timeout)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(held), 0, 0)
	switch {
	case errno != 0: // EINTR: a signal, nothing is ready
		return 0
	case n > 0 || held == timeout:
		return int(n)
	case timeout > 0:
		timeout -= held
	}
	n, _, errno = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(timeout), 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// Rest waits for d whatever becomes ready, at most a few milliseconds, and holds on to what runs goroutines as Wait does at first. A signal ends it before.
func (*Poller) Rest(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// Event is the i-th ready descriptor of the last Wait.
func (p *Poller) Event(i int) Event {
	e := &p.events[i]
	return Event{Tag{e.Pad, e.Fd}, e.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0}
}

// Waker wakes a Poller from any goroutine.
type Waker struct{ fd int }

// NewWaker opens an eventfd and watches it.
func NewWaker(p *Poller, tag Tag) (*Waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	if err := p.Add(fd, tag, false); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Waker{fd}, nil
}

// Wake makes the Poller's Wait return.
func (w *Waker) Wake() {
	one := [8]byte{1}
	_, _ = unix.Write(w.fd, one[:])
}

// Clear takes back all wakes so far.
func (w *Waker) Clear() {
	var b [8]byte
	_, _ = unix.Read(w.fd, b[:])
}

// Close closes the eventfd; no Wake may follow.
func (w *Waker) Close() { unix.Close(w.fd) }
