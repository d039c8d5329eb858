package test

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"panteras/internal/lab"
)

// Queries from addresses that may not ask get nothing back over UDP, whatever they are: who writes a
// victim's address into them makes us send it 0 bytes. The victims here are addresses of the
// attacker's own, so that it sees what they would get.
func TestAbuseSpoofedSources(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	attacker := newNeighbour(t)
	addAddress(t, "wire", "10.9.1.1/24")
	addAddress(t, "wire", "198.51.100.1/24")
	attacker.add(t, "10.9.1.100/24")
	const victims = 32
	for i := range victims {
		attacker.add(t, fmt.Sprintf("198.51.100.%d/24", 100+i))
	}
	u := scripted(t, longText)
	d := startWild(t, "127.0.0.1", to("--dns-upstreams", u), to("--consul-dns", u))

	var received, answers atomic.Int64 // bytes and datagrams from our port
	var sniffer net.PacketConn
	var raw int
	var err error
	attacker.do(func() {
		if sniffer, err = net.ListenPacket("ip4:udp", "0.0.0.0"); err == nil {
			raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		}
	})
	if err != nil {
		t.Skipf("cannot open a raw socket (root may): %v", err)
	}
	defer unix.Close(raw)
	sniffed := make(chan struct{})
	go func() {
		defer close(sniffed)
		for buf := make([]byte, 65536); ; {
			n, from, err := sniffer.ReadFrom(buf)
			if err != nil {
				return
			}
			ip := from.(*net.IPAddr).IP.String()
			if n < 8 || binary.BigEndian.Uint16(buf) != 53 || (ip != "198.51.100.1" && ip != "10.9.1.1") {
				continue
			}
			answers.Add(1)
			received.Add(int64(n))
		}
	}()
	t.Cleanup(func() { _ = sniffer.Close(); <-sniffed })

	attacks := [][]byte{
		pack(t, ednsQuery("www.example.org", dns.TypeTXT)), pack(t, ednsQuery("x.org", dns.TypeANY)), pack(t, ednsQuery("node-7", dns.TypeA)),
		pack(t, ednsQuery("web.service.consul", dns.TypeSRV)), pack(t, plainQuery("x.invalid", dns.TypeA)), []byte("not even a query"),
		append(pack(t, plainQuery("x.org", dns.TypeA)), "trailing"...),
		{1, 2, 40, 0, 0, 1, 0, 0, 0, 0, 0, 0},
		{1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	}
	sent, bytes := 0, 0
	send := func(from [4]byte, to [4]byte, message []byte) {
		packet := datagram(from, to, message)
		if err := unix.Sendto(raw, packet, 0, &unix.SockaddrInet4{Addr: to}); err != nil {
			t.Fatalf("cannot send a spoofed datagram: %v", err)
		}
		bytes += len(message)
	}
	for i := range victims {
		for _, message := range attacks {
			send([4]byte{198, 51, 100, byte(100 + i)}, [4]byte{198, 51, 100, 1}, message)
			sent++
		}
	}
	lab.Eventually(t, patience, "the queries to be seen", func() bool {
		return d.metric(t, "panteras_dns_dropped_total", `reason="not_allowed"`) >= float64(sent)
	})
	// The host's own addresses may always ask: that they cannot come in over the wire is the kernel's part.
	for _, own := range [][4]byte{{127, 0, 0, 1}, {10, 9, 1, 1}} {
		send(own, [4]byte{10, 9, 1, 1}, attacks[2])
	}
	got := received.Load()
	// The sniffer works: who may ask is seen to be answered, after all that went before.
	conn := attacker.dial(t, "udp", "10.9.1.100", port53("10.9.1.1"))
	reply, err := exchangeOver(conn, ednsQuery("node-7", dns.TypeA))
	if err == nil {
		err = hasAddress(reply, "10.0.0.5")
	}
	if err != nil {
		t.Errorf("a client that may ask: %v", err)
	}
	lab.Eventually(t, patience, "the sniffer to see that answer", func() bool { return answers.Load() > 0 })
	t.Logf("%d spoofed queries, %d bytes: %d bytes came back", sent, bytes, got)
	if n := answers.Load(); got != 0 || n != 1 {
		t.Errorf("%d bytes went to victims, and %d answers were seen, want 0 and the one of the client that may ask", got, n)
	}
	if own := queriesFor(t, d); own > 1 {
		t.Errorf("%d queries were answered, want that of the client that may ask", own)
	}
	_ = conn.SetDeadline(time.Time{})
}

// queriesFor counts the queries that were answered from here, the readiness test's of class CHAOS aside.
func queriesFor(t testing.TB, d *dnsd) int {
	t.Helper()
	return int(d.metric(t, "panteras_dns_queries_total", `rcode="NOERROR"`))
}

// datagram is a message within UDP within IPv4. The kernel fills in the sum of the IP header;
// UDP may go without one.
func datagram(from, to [4]byte, message []byte) []byte {
	packet := make([]byte, 28, 28+len(message))
	packet[0], packet[8], packet[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(packet[2:], uint16(28+len(message)))
	copy(packet[12:], from[:])
	copy(packet[16:], to[:])
	binary.BigEndian.PutUint16(packet[20:], 4242)
	binary.BigEndian.PutUint16(packet[22:], 53)
	binary.BigEndian.PutUint16(packet[24:], uint16(8+len(message)))
	return append(packet, message...)
}
