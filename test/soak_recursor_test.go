package test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// forgedShare is which part of the answers over UDP comes after one with a wrong id: what waits on that socket is asked again over TCP.
const forgedShare = 1000

// quickRecursor serves on port 53 of an address with one address for every name. Now and then somebody forges one of its answers.
func quickRecursor(t testing.TB, address string) {
	t.Helper()
	udp, tcp := hold(t, port53(address))
	serveQuickly(t, udp, func([]byte) bool { return true }, forgedShare)
	serveStreams(t, tcp)
}

// serveQuickly answers those queries that it is told to with the address of recursors: little work, so
// that there is more for the server under test. The name is in wire form. Unless forged is 0, the first of so many answers has a wrong id.
func serveQuickly(t testing.TB, udp *net.UDPConn, answers func(name []byte) bool, forged int) {
	t.Helper()
	roomy(udp)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 4096)
		for i := 0; ; i++ {
			n, from, err := udp.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			reply := quickReply(buf[:n], answers)
			if reply == nil {
				continue
			}
			if forged > 0 && i%forged == 0 {
				reply[0] ^= 0x55
				_, _ = udp.WriteToUDPAddrPort(reply, from)
				reply[0] ^= 0x55
			}
			_, _ = udp.WriteToUDPAddrPort(reply, from)
		}
	}()
	t.Cleanup(func() { _ = udp.Close(); <-ended })
}

// serveStreams answers every query over TCP, until the listener is closed.
func serveStreams(t testing.TB, listener net.Listener) {
	t.Helper()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				stream := &dns.Conn{Conn: conn}
				for buf := make([]byte, dns.MaxMsgSize); ; {
					n, err := stream.Read(buf)
					if err != nil {
						return
					}
					if reply := quickReply(buf[:n], func([]byte) bool { return true }); reply != nil {
						_, _ = stream.Write(reply)
					}
				}
			}()
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
}

// What recursors have, behind a pointer to the name that is asked for.
var (
	quickA    = append([]byte{0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4}, netip.MustParseAddr(soakRecursor).AsSlice()...)
	quickAAAA = append([]byte{0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 0, 0, 16}, netip.MustParseAddr(soakRecursor6).AsSlice()...)
)

// quickReply makes the answer to a query in the query's place; nil if there is none.
func quickReply(query []byte, answers func(name []byte) bool) []byte {
	end := 12
	for end < len(query) && query[end] != 0 {
		end += 1 + int(query[end])
	}
	if end += 5; end > len(query) || !answers(query[12:end-4]) {
		return nil
	}
	copy(query[2:], []byte{0x80 | query[2], 0x80, 0, 1, 0, 1, 0, 0, 0, 0})
	if query[end-3] == byte(dns.TypeAAAA) {
		return append(query[:end:end], quickAAAA...)
	}
	return append(query[:end:end], quickA...)
}
