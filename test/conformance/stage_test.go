package conformance

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// patience is how long a reply may take on a machine that does much else.
const patience = 20 * time.Second

// rig is a running server with the upstream of all its routes.
type rig struct {
	addr    netip.AddrPort
	metrics netip.AddrPort
	up      *lab.Upstream

	mu    sync.Mutex
	asked map[string][]*lab.Query // by the first label
}

// everyAddress among the flags of a server makes it listen on all addresses of the host.
const everyAddress = "--dns-port="

// newRig starts a server whose upstream treats names as the scripts say.
func newRig(t *testing.T, scripts map[string]func(*lab.Query) []lab.Action, flags ...string) *rig {
	t.Helper()
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	r := &rig{addr: netip.AddrPortFrom(loopback, lab.Port(t)), metrics: netip.AddrPortFrom(loopback, lab.Port(t)), asked: map[string][]*lab.Query{}}
	r.up = lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
		if q.Msg == nil {
			return []lab.Action{lab.Reply(lab.Rcode(dns.RcodeFormatError))}
		}
		label, _, _ := strings.Cut(strings.ToLower(q.Msg.Question[0].Name), ".")
		r.mu.Lock()
		r.asked[label] = append(r.asked[label], q)
		r.mu.Unlock()
		if script := scripts[label]; script != nil {
			return script(q)
		}
		return ordinary(q)
	})
	args := []string{"dns", "--metrics-listen=" + r.metrics.String(), "--consul-dns=" + r.up.Addr.String()}
	if slices.Contains(flags, everyAddress) {
		args = append(args, fmt.Sprintf("%s%d", everyAddress, r.addr.Port()))
	} else {
		args = append(append(args, "--dns-listen="+r.addr.String()), flags...)
	}
	if !strings.Contains(strings.Join(flags, " "), "--dns-upstreams=") {
		args = append(args, "--dns-upstreams="+r.up.Addr.String())
	}
	lab.Panteras(t, lab.PanterasOptions{
		Args: args, Env: []string{"IP=10.0.0.5", "HOSTNAME=node-7", "FQDN=node-7.example.net"}, Dir: t.TempDir(), ReadyDNS: r.addr,
	})
	return r
}

// metric is what the server counts under a name with its labels.
func (s *stage) metric(name string) (value float64) {
	s.Helper()
	answer, err := http.Get("http://" + s.metrics.String() + "/metrics")
	if err != nil {
		s.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if number, ok := strings.CutPrefix(line, name+" "); ok {
			if value, err = strconv.ParseFloat(strings.TrimSpace(number), 64); err != nil {
				s.Fatal(err)
			}
			return value
		}
	}
	s.Fatalf("there is no metric %s", name)
	return 0
}

// seen are the queries that the upstream got under a label.
func (r *rig) seen(label string) []*lab.Query {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[label]
}

// ordinary is an upstream that has an address, an SOA and a text for every name, and
// nothing else.
func ordinary(q *lab.Query) []lab.Action {
	switch q.Msg.Question[0].Qtype {
	case dns.TypeA:
		return []lab.Action{lab.Reply(lab.Answers("@ 60 IN A 192.0.2.1"))}
	case dns.TypeSOA:
		return []lab.Action{lab.Reply(lab.Answers("@ 60 IN SOA ns.example.org. host.example.org. 1 3600 600 86400 60"))}
	case dns.TypeTXT:
		return []lab.Action{lab.Reply(lab.Answers("@ 60 IN TXT " + strings.Repeat(`"`+strings.Repeat("t", 250)+`" `, 8)))}
	}
	return []lab.Action{lab.Reply()}
}

// stage is where one case plays.
type stage struct {
	*testing.T
	*rig
	label string
	name  string // the case's own name, with the dot at its end
	tcp   bool
}

// network is the case's transport.
func (s *stage) network() string {
	if s.tcp {
		return "tcp"
	}
	return "udp"
}

// ask makes a query for a name, A, RD=1.
func ask(name string, changes ...func(*dns.Msg)) *dns.Msg {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
	for _, change := range changes {
		change(m)
	}
	return m
}

// pack is the message as bytes.
func (s *stage) pack(m *dns.Msg) []byte {
	s.Helper()
	raw, err := m.Pack()
	if err != nil {
		s.Fatalf("cannot pack the test's own message: %v", err)
	}
	return raw
}

// unpack reads a message.
func (s *stage) unpack(raw []byte) *dns.Msg {
	s.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(raw); err != nil {
		s.Fatalf("cannot read %x: %v", raw, err)
	}
	return m
}

// dial connects to the server until the test is over.
func (s *stage) dial(network string) net.Conn {
	s.Helper()
	conn, err := net.DialTimeout(network, s.addr.String(), patience)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// frame puts the length before a message that goes over TCP.
func frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

// send writes a message.
func (s *stage) send(conn net.Conn, message []byte) {
	s.Helper()
	if conn.LocalAddr().Network() == "tcp" {
		message = frame(message)
	}
	if _, err := conn.Write(message); err != nil {
		s.Fatal(err)
	}
}

// receive reads the next message.
func receive(conn net.Conn) ([]byte, error) {
	message := make([]byte, dns.MaxMsgSize)
	if conn.LocalAddr().Network() == "udp" {
		n, err := conn.Read(message)
		return message[:n], err
	}
	if _, err := io.ReadFull(conn, message[:2]); err != nil {
		return nil, err
	}
	message = message[:binary.BigEndian.Uint16(message)]
	_, err := io.ReadFull(conn, message)
	return message, err
}

// receive is receive of what must come.
func (s *stage) receive(conn net.Conn) []byte {
	s.Helper()
	message, err := receive(conn)
	if err != nil {
		s.Fatalf("no reply: %v", err)
	}
	return message
}

// exchange sends bytes and returns what comes back.
func (s *stage) exchange(network string, query []byte) *dns.Msg {
	s.Helper()
	conn := s.dial(network)
	s.send(conn, query)
	return s.unpack(s.receive(conn))
}

// must fails the case unless a reply is as wanted.
func (s *stage) must(reply *dns.Msg, code, answers int) {
	s.Helper()
	if reply.Rcode != code || len(reply.Answer) != answers {
		s.Fatalf("want %s with %d records, got:\n%v", dns.RcodeToString[code], answers, reply)
	}
}
