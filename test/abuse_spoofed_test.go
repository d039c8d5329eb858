package test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
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
	addAddress(t, "wire", "2001:db8:9::1/64")
	attacker.add(t, "10.9.1.100/24")
	own := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.9.1.1"), netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:9::1")}
	asked4, asked6 := own[2], own[3]
	var victims []netip.Addr
	for i := range 32 {
		for _, form := range []string{"198.51.100.%d/24", "2001:db8:9::%d/64"} {
			prefix := fmt.Sprintf(form, 100+i)
			attacker.add(t, prefix)
			victims = append(victims, netip.MustParsePrefix(prefix).Addr())
		}
	}
	u := scripted(t, longText)
	d := startWild(t, "127.0.0.1", to("--dns-upstreams", u), to("--consul-dns", u))
	lab.Eventually(t, patience, "every address to be listened on", func() bool { return serving("::1") })
	before := queriesFor(t, d)

	var received, answers atomic.Int64 // bytes and datagrams from our port
	var sniffers []net.PacketConn
	var raw4, raw6 int
	var err error
	attacker.do(func() {
		for _, network := range [][2]string{{"ip4:udp", "0.0.0.0"}, {"ip6:udp", "::"}} {
			var sniffer net.PacketConn
			if sniffer, err = net.ListenPacket(network[0], network[1]); err != nil {
				return
			}
			sniffers = append(sniffers, sniffer)
		}
		if raw4, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err == nil {
			raw6, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		}
	})
	if err != nil {
		t.Skipf("cannot open a raw socket (root may): %v", err)
	}
	defer unix.Close(raw4)
	defer unix.Close(raw6)
	var sniffing sync.WaitGroup
	for _, sniffer := range sniffers {
		sniffing.Go(func() {
			for buf := make([]byte, 65536); ; {
				n, from, err := sniffer.ReadFrom(buf)
				if err != nil {
					return
				}
				ip, _ := netip.ParseAddr(from.(*net.IPAddr).IP.String())
				if n < 8 || binary.BigEndian.Uint16(buf) != 53 || !slices.Contains(own, ip) {
					continue
				}
				answers.Add(1)
				received.Add(int64(n))
			}
		})
	}
	t.Cleanup(func() {
		for _, sniffer := range sniffers {
			_ = sniffer.Close()
		}
		sniffing.Wait()
	})

	attacks := [][]byte{
		pack(t, ednsQuery("www.example.org", dns.TypeTXT)), pack(t, ednsQuery("x.org", dns.TypeANY)), pack(t, ednsQuery("node-7", dns.TypeA)),
		pack(t, ednsQuery("web.service.consul", dns.TypeSRV)), pack(t, plainQuery("x.invalid", dns.TypeA)), []byte("not even a query"),
		append(pack(t, plainQuery("x.org", dns.TypeA)), "trailing"...),
		{1, 2, 40, 0, 0, 1, 0, 0, 0, 0, 0, 0},
		{1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	}
	sent, bytes := 0, 0
	send := func(from, to netip.Addr, message []byte) {
		socket, address := raw4, unix.Sockaddr(nil)
		if to.Is4() {
			address = &unix.SockaddrInet4{Addr: to.As4()}
		} else {
			socket, address = raw6, &unix.SockaddrInet6{Addr: to.As16()}
		}
		if err := unix.Sendto(socket, datagram(from, to, message), 0, address); err != nil {
			t.Fatalf("cannot send a spoofed datagram: %v", err)
		}
		bytes += len(message)
	}
	for _, victim := range victims {
		for _, message := range attacks {
			if victim.Is6() {
				send(victim, asked6, message)
			} else {
				send(victim, asked4, message)
			}
			sent++
		}
	}
	lab.Eventually(t, patience, "the queries to be seen", func() bool {
		return d.metric(t, "panteras_dns_dropped_total", `reason="not_allowed"`) >= float64(sent)
	})
	// The host's own addresses may always ask. That those of IPv4 cannot come in over the wire is the kernel's part; an answer to one of IPv6 goes to the host itself.
	for _, from := range own {
		if from.Is6() {
			send(from, asked6, attacks[2])
		} else {
			send(from, own[1], attacks[2])
		}
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
	n := 0
	lab.Eventually(t, patience, "the last queries to be counted", func() bool { n = queriesFor(t, d) - before; return n >= 2 })
	if n != 2 {
		t.Errorf("%d queries were answered, want that of the client that may ask, and the host's own over IPv6", n)
	}
	_ = conn.SetDeadline(time.Time{})
}

// queriesFor counts the queries that were answered from here, the readiness test's of class CHAOS aside.
func queriesFor(t testing.TB, d *dnsd) int {
	t.Helper()
	return int(d.metric(t, "panteras_dns_queries_total", `rcode="NOERROR"`))
}

// datagram is a message within UDP within IP. The kernel fills in the sum of an IPv4 header;
// over IPv4, UDP may go without one.
func datagram(from, to netip.Addr, message []byte) []byte {
	size := 8 + len(message)
	udp := binary.BigEndian.AppendUint16(nil, 4242)
	udp = binary.BigEndian.AppendUint16(udp, 53)
	udp = binary.BigEndian.AppendUint16(udp, uint16(size))
	udp = append(append(udp, 0, 0), message...)
	if to.Is4() {
		packet := make([]byte, 12)
		packet[0], packet[8], packet[9] = 0x45, 64, unix.IPPROTO_UDP
		binary.BigEndian.PutUint16(packet[2:], uint16(20+size))
		return slices.Concat(packet, from.AsSlice(), to.AsSlice(), udp)
	}
	packet := []byte{0x60, 0, 0, 0, byte(size >> 8), byte(size), unix.IPPROTO_UDP, 64}
	ends := slices.Concat(from.AsSlice(), to.AsSlice())
	// RFC 8200 section 8.1: the sum is over a pseudo-header as well.
	sum := uint32(size + unix.IPPROTO_UDP)
	for _, part := range [][]byte{ends, udp} {
		for i, b := range part {
			sum += uint32(b) << (8 * (1 - i%2))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], ^uint16(sum))
	return slices.Concat(packet, ends, udp)
}
