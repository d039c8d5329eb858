package dnsserver

import (
	"testing"
	"unsafe"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// forward takes one query all the way, again and again: from the client's datagram to the upstream's socket, and from the reply there to the
// client's socket, which are real. Nothing on the test's own side allocates, so that what does is the server's.
type forward struct {
	r      *rig
	server int // sockets of the test
	client int
	query  []byte
	reply  []byte
	buf    []byte
	from   unix.RawSockaddrInet4 // the worker's socket towards the upstream
	answer int                   // length of the last answer
}

// newForward prepares a query, and the reply of the server that it goes to; "@" is the name asked there.
func newForward(t testing.TB, recursor bool, name string, typ, edns uint16, records ...string) *forward {
	t.Helper()
	r := newRig(t, nil)
	c := r.client()
	q := c.ask(name, typ, edns)
	r.step()
	server := r.consul
	if recursor {
		server = r.rec
	}
	arrived := server.want()
	arrived.reply(0, records...)
	reply, _ := receive(c.fd)
	if reply != nil {
		t.Fatal("an answer came before its time")
	}
	r.step()
	c.answers(q)

	f := &forward{r: r, server: server.fd, client: c.fd, buf: make([]byte, 65536)}
	m := new(dns.Msg).SetReply(arrived.Msg)
	m.Compress = true
	for _, record := range records {
		rr, err := dns.NewRR(arrived.Question[0].Name + record[1:])
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	var err error
	if f.reply, err = m.Pack(); err != nil {
		t.Fatal(err)
	}
	if f.query, err = q.Pack(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(c.fd, c.to); err != nil {
		t.Fatal(err)
	}
	return f
}

// once forwards one query; it says whether that went well.
func (f *forward) once() bool {
	w := f.r.w
	w.now = monotonic()
	if !sendTo(f.client, f.query, nil) {
		return false
	}
	w.readClients(f.r.ls)
	if recvFrom(f.server, f.buf, &f.from) < 12 {
		return false
	}
	f.reply[0], f.reply[1] = f.buf[0], f.buf[1]
	if !sendTo(f.server, f.reply, &f.from) {
		return false
	}
	for i := range w.poller.Wait(100) {
		if ev := w.poller.Event(i); ev.Kind == tagUpstream {
			w.readUpstream(ev.Index)
		}
	}
	w.runTimers()
	w.flush()
	f.answer = recvFrom(f.client, f.buf, nil)
	return f.answer >= 12 && f.buf[0] == f.query[0] && f.buf[1] == f.query[1]
}

// sendTo and recvFrom are the system calls without the allocations of their wrappers.
func sendTo(fd int, b []byte, to *unix.RawSockaddrInet4) bool {
	size := uintptr(0)
	if to != nil {
		size = unix.SizeofSockaddrInet4
	}
	_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, uintptr(unsafe.Pointer(to)), size)
	return errno == 0
}

func recvFrom(fd int, b []byte, from *unix.RawSockaddrInet4) int {
	size := uint32(unix.SizeofSockaddrInet4)
	sizeAt := &size
	if from == nil {
		sizeAt = nil
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, uintptr(unsafe.Pointer(from)), uintptr(unsafe.Pointer(sizeAt)))
	if errno != 0 {
		return -1
	}
	return int(n)
}

// forwards are the ways a query can take over UDP.
var forwards = map[string]func(t testing.TB) *forward{
	"A": func(t testing.TB) *forward {
		return newForward(t, false, "web.service.consul.", dns.TypeA, 0, "@ 0 IN A 10.1.0.1", "@ 0 IN A 10.1.0.2")
	},
	"A-mapped": func(t testing.TB) *forward {
		return newForward(t, false, "web.acme.test.", dns.TypeA, 1232, "@ 0 IN A 10.1.0.1", "@ 0 IN A 10.1.0.2")
	},
	"SRV-OPT-added": func(t testing.TB) *forward {
		return newForward(t, false, "web.service.consul.", dns.TypeSRV, 0, "@ 0 IN SRV 1 1 31000 a.node.consul.", "@ 0 IN SRV 1 1 31001 b.node.consul.")
	},
	"recursor": func(t testing.TB) *forward {
		return newForward(t, true, "www.example.", dns.TypeAAAA, 1232, "@ 60 IN AAAA 2001:db8::1")
	},
}

func BenchmarkForward(b *testing.B) {
	for name, make := range forwards {
		b.Run(name, func(b *testing.B) {
			f := make(b)
			b.ReportAllocs()
			for b.Loop() {
				if !f.once() {
					b.Fatal("no answer")
				}
			}
		})
	}
}
