package lab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
	"testing"
)

// The ports of a lab lie below the range from which Linux picks the source
// port of an outgoing connection (32768 and up), so that no client takes one
// between our choosing it and a program's binding it.
const (
	firstPort = 20000
	lastPort  = 31999
)

// Port returns a port on which neither UDP nor TCP is in use, on any address,
// and reserves it for this test: no other lab on this machine, in this process
// or another, is given it before the test is over.
func Port(t testing.TB) uint16 {
	t.Helper()
	const span = lastPort - firstPort + 1
	start := rand.IntN(span)
	for i := range span {
		port := firstPort + (start+i)%span
		if lock, ok := take(port); ok {
			t.Cleanup(func() { _ = lock.Close() })
			return uint16(port)
		}
	}
	t.Fatalf("every port from %d to %d is in use", firstPort, lastPort)
	return 0
}

// take reserves a port, unless it is reserved or in use.
func take(port int) (lock net.Listener, ok bool) {
	lock, err := reserve(port)
	if err != nil {
		return nil, false
	}
	if !unused(port) {
		_ = lock.Close()
		return nil, false
	}
	return lock, true
}

// reserve takes the name of the port among abstract Unix sockets. The kernel
// gives a name to one process only, takes it back when that process dies, and
// keeps the names of each network namespace apart, just as it does with ports.
func reserve(port int) (net.Listener, error) {
	return net.Listen("unix", fmt.Sprintf("@panteras-lab-port-%d", port))
}

// unused reports whether UDP and TCP can both be bound. The wildcard address
// collides with a socket on any address.
func unused(port int) bool {
	for _, host := range []string{"0.0.0.0", "::"} {
		addr := net.JoinHostPort(host, strconv.Itoa(port))
		tcp, err := net.Listen("tcp", addr)
		if err == nil {
			err = tcp.Close()
		}
		if err != nil && !noFamily(err) {
			return false
		}
		udp, err := net.ListenPacket("udp", addr)
		if err == nil {
			err = udp.Close()
		}
		if err != nil && !noFamily(err) {
			return false
		}
	}
	return true
}

// noFamily reports whether a bind failed because the machine has no IPv6.
func noFamily(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}
