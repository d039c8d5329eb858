package test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// question is one query as a client may send it.
type question struct {
	name  string
	qtype uint16
	over  transport
}

// transport is how a query travels: over UDP or TCP, and with which EDNS size (0: without EDNS).
type transport struct {
	network string
	edns    uint16
}

func (tr transport) String() string {
	if tr.edns == 0 {
		return tr.network
	}
	return fmt.Sprintf("%s with EDNS %d", tr.network, tr.edns)
}

// transports are those that clients use.
var transports = []transport{{"udp", 0}, {"udp", 512}, {"udp", 1232}, {"udp", 4096}, {"tcp", 0}, {"tcp", 1232}}

func (q question) String() string {
	return fmt.Sprintf("%s %s over %s", q.name, dns.Type(q.qtype), q.over)
}

// answer is what came back, parsed and as it was.
type answer struct {
	*dns.Msg
	raw []byte
}

// askTimeout is longer than any server under test takes to give up.
const askTimeout = 10 * time.Second

// ask sends q to a server and returns its answer.
func ask(server netip.AddrPort, q question) (answer, error) {
	query := new(dns.Msg).SetQuestion(dns.Fqdn(q.name), q.qtype)
	if q.over.edns > 0 {
		query.SetEdns0(q.over.edns, false)
	}
	packed, err := query.Pack()
	if err != nil {
		return answer{}, err
	}
	conn, err := net.DialTimeout(q.over.network, server.String(), askTimeout)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = conn.Close() }()
	raw, err := roundTrip(conn, packed)
	if err != nil {
		return answer{}, fmt.Errorf("%v: %w", q, err)
	}
	return parseAnswer(packed, raw)
}

// parseAnswer unpacks raw and holds it against the query.
func parseAnswer(query, raw []byte) (answer, error) {
	reply := new(dns.Msg)
	if err := reply.Unpack(raw); err != nil {
		return answer{}, fmt.Errorf("malformed answer: %w", err)
	}
	if !reply.Response || !bytes.Equal(raw[:2], query[:2]) {
		return answer{}, fmt.Errorf("no answer to the query: %v", reply.MsgHdr)
	}
	return answer{reply, raw}, nil
}

// roundTrip sends a packed query on a connection and reads one answer.
func roundTrip(conn net.Conn, packed []byte) ([]byte, error) {
	if err := conn.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return nil, err
	}
	if _, udp := conn.(*net.UDPConn); udp {
		if _, err := conn.Write(packed); err != nil {
			return nil, err
		}
		buf := make([]byte, 1<<16)
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(conn, raw)
	return raw, err
}

// mustAsk is ask for questions that have to be answered.
func mustAsk(t testing.TB, server netip.AddrPort, q question) answer {
	t.Helper()
	a, err := ask(server, q)
	if err != nil {
		t.Fatalf("%v, asked of %s: %v", q, server, err)
	}
	return a
}

// records returns the records of a section as text, folded to lower case, without OPT.
func records(section []dns.RR) []string {
	texts := []string{}
	for _, rr := range section {
		if rr.Header().Rrtype != dns.TypeOPT {
			texts = append(texts, strings.ToLower(rr.String()))
		}
	}
	return texts
}

// addresses returns the addresses of a section's A and AAAA records, in order.
func addresses(section []dns.RR) []string {
	found := []string{}
	for _, rr := range section {
		switch rr := rr.(type) {
		case *dns.A:
			found = append(found, rr.A.String())
		case *dns.AAAA:
			found = append(found, rr.AAAA.String())
		}
	}
	return found
}

// metric returns the value of a metric without labels.
func metric(t testing.TB, f *forwarder, name string) int {
	t.Helper()
	client := &http.Client{Timeout: askTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + f.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}
