package test

import (
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"

	"panteras/internal/lab"

	"github.com/miekg/dns"
)

// Over a real network a datagram of 64 KiB is lost too easily. SRV of a Consul
// that is not on this host is asked over TCP, and is whole.
func TestSRVOfARemoteConsul(t *testing.T) {
	t.Parallel()
	if !aloneInANetwork(t) {
		return
	}
	n := newNeighbour(t)
	addAddress(t, "wire", "10.66.0.1/24")
	n.add(t, "10.66.0.2/24")
	node := lab.Consul(t, lab.ConsulOptions{})
	node.Register(t, lab.Instances("python", 300, 50)...)
	consul := newRelay(t, netip.MustParseAddr("10.66.0.1"), node.DNS)
	var f *forwarder
	n.do(func() {
		f = startForwarderOn(t, netip.MustParseAddr("10.66.0.2"), consul.addr, netip.MustParseAddrPort("10.66.0.1:9"))
	})
	if f == nil {
		t.FailNow()
	}
	const name = "python.service.consul"
	all := whole(t, node.DNS, name, dns.TypeSRV)
	for _, over := range transports {
		q := question{name, dns.TypeSRV, over}
		if got := mustAsk(t, f.Addr, q); checkFrame(t, q, got, udpSize) {
			checkSRV(t, q, got, all, udpSize)
		}
	}
	compare(t, f, node.DNS, question{name, dns.TypeA, transport{"udp", 0}}, whole(t, node.DNS, name, dns.TypeA))
	if got := consul.askedOverUDP(); slices.Contains(got, dns.TypeSRV) || !slices.Contains(got, dns.TypeA) {
		t.Errorf("over UDP Consul was asked for the types %v: A it should be, SRV not", got)
	}
}

// aloneInANetwork runs the test once more, in a process that has a network
// namespace of its own, and says whether this is that process.
func aloneInANetwork(t *testing.T) bool {
	t.Helper()
	const mark = "PANTERAS_TEST_ALONE"
	if os.Getenv(mark) == t.Name() {
		linkUp(t, "lo")
		return true
	}
	// The kernel takes the thread that started a program for its parent (Pdeathsig): this one must not end before the test does.
	runtime.LockOSThread()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	switch {
	case os.Geteuid() != 0 && err != nil:
		t.Skipf("cannot make a network namespace (root may): %v", err)
	case err != nil:
		t.Errorf("in a network of its own: %v\n%s", err, out)
	}
	return false
}

// relay hands DNS queries on to a server and remembers what came over UDP.
type relay struct {
	addr netip.AddrPort
	to   string

	mu    sync.Mutex
	types []uint16
}

// newRelay starts a relay on an address, over UDP and TCP.
func newRelay(t *testing.T, on netip.Addr, to netip.AddrPort) *relay {
	t.Helper()
	r := &relay{addr: netip.AddrPortFrom(on, lab.Port(t)), to: to.String()}
	packets, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(r.addr))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(r.addr))
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() { r.relayUDP(packets) })
	work.Go(func() { r.relayTCP(listener) })
	t.Cleanup(func() {
		_, _ = packets.Close(), listener.Close()
		work.Wait()
	})
	return r
}

// relayUDP hands queries on, one after the other.
func (r *relay) relayUDP(packets *net.UDPConn) {
	client := &dns.Client{UDPSize: dns.MaxMsgSize}
	buf := make([]byte, dns.MaxMsgSize)
	for {
		n, from, err := packets.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		query := new(dns.Msg)
		if query.Unpack(buf[:n]) != nil || len(query.Question) != 1 {
			continue
		}
		r.mu.Lock()
		r.types = append(r.types, query.Question[0].Qtype)
		r.mu.Unlock()
		if reply, _, err := client.Exchange(query, r.to); err == nil {
			if raw, err := reply.Pack(); err == nil {
				_, _ = packets.WriteToUDPAddrPort(raw, from)
			}
		}
	}
}

// relayTCP hands connections on, byte for byte.
func (r *relay) relayTCP(listener *net.TCPListener) {
	for {
		client, err := listener.AcceptTCP()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		// Either side's end ends both; the test ends the processes on both sides.
		for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
			go func() {
				_, _ = io.Copy(way[0], way[1])
				_, _ = client.Close(), server.Close()
			}()
		}
	}
}

// askedOverUDP lists the types of the queries that came over UDP.
func (r *relay) askedOverUDP() []uint16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.types)
}
