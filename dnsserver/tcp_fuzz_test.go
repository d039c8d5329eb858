package dnsserver

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/dnsserver/wire"
	"panteras/internal/lab"
)

// framed puts messages into a stream.
func framed(messages ...[]byte) (b []byte) {
	for _, m := range messages {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(m))), m...)
	}
	return b
}

// frames reads the messages of a stream; what is cut at its end is none.
func frames(b []byte) (list [][]byte) {
	for len(b) >= 2 {
		n := 2 + int(binary.BigEndian.Uint16(b))
		if n > len(b) {
			break
		}
		list = append(list, b[2:n])
		b = b[n:]
	}
	return list
}

// mirror is an upstream that sends back each query as its own answer.
func mirror(q *lab.Query) []lab.Action {
	b := bytes.Clone(q.Raw)
	if len(b) > 2 {
		b[2] |= 0x80
	}
	return []lab.Action{lab.Bytes(b)}
}

// newTCPOnly serves TCP on a loopback port, with upstreams that mirror.
func newTCPOnly(t testing.TB) (addr string) {
	t.Helper()
	consul, rec := lab.NewUpstream(t, mirror), lab.NewUpstream(t, mirror)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := newTestServer(t, testSettings(netip.MustParseAddrPort("127.0.0.1:1"), consul.Addr, rec.Addr))
	srv.tcp.serve("tcp", l)
	t.Cleanup(func() {
		srv.tcp.drain()
		srv.tcp.wait()
	})
	return l.Addr().String()
}

// Whatever bytes a client sends, each message in them gets one answer under its id, as far as they are messages; then the connection ends.
func FuzzTCP(f *testing.F) {
	pack := func(m *dns.Msg) []byte {
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	consul := pack(new(dns.Msg).SetQuestion("web.service.consul.", dns.TypeSRV))
	mapped := pack(new(dns.Msg).SetQuestion("web.acme.test.", dns.TypeA).SetEdns0(1232, true))
	host := pack(new(dns.Msg).SetQuestion("node1.", dns.TypeA))
	f.Add(framed(consul, mapped, host))
	f.Add(framed(consul)[:10])
	f.Add(append(framed(consul), 0xff))
	f.Add(framed(nil, consul))
	f.Add(framed([]byte{1, 2, 3}))
	f.Add(framed(bytes.Repeat([]byte{0}, 12), consul))
	f.Add(framed(pack(new(dns.Msg).SetReply(new(dns.Msg).SetQuestion("a.", 1))), consul))
	f.Add(framed(pack(new(dns.Msg).SetAxfr("consul.")), pack(new(dns.Msg).SetNotify("consul.")), pack(new(dns.Msg).SetUpdate("consul."))))
	addr := newTCPOnly(f)
	f.Fuzz(func(t *testing.T, stream []byte) {
		var want []uint16
		for _, m := range frames(stream) {
			var q wire.Query
			if wire.Parse(m, &q) == wire.Drop {
				break
			}
			want = append(want, wire.ID(m))
		}
		conn, err := net.DialTimeout("tcp", addr, 20*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
		go func() {
			_, _ = conn.Write(stream) // may fail: the server closes on what is no message
			_ = conn.(*net.TCPConn).CloseWrite()
		}()
		answered, err := io.ReadAll(conn)
		if err != nil && len(want) == 0 {
			return // reset: bytes of ours were not read
		}
		var got []uint16
		list := frames(answered)
		for _, m := range list {
			if len(m) < wire.HeaderLen || wire.Flags(m)&wire.FlagQR == 0 {
				t.Fatalf("no answer: %x", m)
			}
			got = append(got, wire.ID(m))
		}
		if len(framed(list...)) != len(answered) {
			t.Fatalf("%d bytes behind the last answer", len(answered)-len(framed(list...)))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) && err == nil {
			t.Fatalf("answers %v, want %v (%v)", got, want, err)
		}
	})
}
