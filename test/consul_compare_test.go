package test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// udpSize is the largest UDP answer of a server that was not told otherwise.
const udpSize = 1232

// optBytes is the size of an OPT record without options.
const optBytes = 11

// limit is the size that an answer to a client on this transport may have.
func (tr transport) limit(most int) int {
	switch {
	case tr.network == "tcp":
		return dns.MaxMsgSize
	case tr.edns == 0:
		return dns.MinMsgSize
	}
	return min(max(int(tr.edns), dns.MinMsgSize), most)
}

// whole is what Consul tells over TCP, where it leaves nothing out.
func whole(t *testing.T, consul netip.AddrPort, name string, qtype uint16) answer {
	t.Helper()
	return mustAsk(t, consul, question{name, qtype, transport{"tcp", 0}})
}

// compare asks the forwarder and Consul the same question and reports what
// differs beyond what may: RA, the case of names, and the OPT record. Consul
// shuffles and then trims, so where it left records out, which ones is chance;
// how many is not.
func compare(t *testing.T, f *forwarder, consul netip.AddrPort, q question, all answer) {
	t.Helper()
	got := mustAsk(t, f.Addr, q)
	if !checkFrame(t, q, got, udpSize) {
		return
	}
	if q.qtype == dns.TypeSRV {
		if got.Truncated {
			got.Truncated = false // checkSRV looks at it
			compareFlags(t, q, got, all)
			got.Truncated = true
		} else {
			compareFlags(t, q, got, all)
		}
		checkSRV(t, q, got, all, udpSize)
		return
	}
	told := q
	told.over.edns = min(q.over.edns, udpSize)
	want := mustAsk(t, consul, told)
	compareFlags(t, q, got, want)
	if q.over.edns > 0 && want.IsEdns0() == nil && len(want.raw)+optBytes > q.over.limit(udpSize) {
		want.Answer = want.Answer[1:] // gives way to the OPT record that Consul lost
	}
	compareSection(t, q, "answer", got.Answer, want.Answer, all.Answer)
	compareSection(t, q, "authority", got.Ns, want.Ns, all.Ns)
	compareSection(t, q, "additional", got.Extra, want.Extra, all.Extra)
}

// checkFrame checks what the forwarder owes to every client: its own question,
// RA, an OPT record exactly if it sent one, and no more bytes than it takes.
func checkFrame(t *testing.T, q question, got answer, most int) bool {
	t.Helper()
	before := t.Failed()
	want := []dns.Question{{Name: dns.Fqdn(q.name), Qtype: q.qtype, Qclass: dns.ClassINET}}
	if diff := cmp.Diff(want, got.Question); diff != "" {
		t.Errorf("%v: the question came back changed (-want +got):\n%s", q, diff)
	}
	if !got.RecursionAvailable {
		t.Errorf("%v: RA is not set", q)
	}
	opt := got.IsEdns0()
	switch {
	case (opt != nil) != (q.over.edns > 0):
		t.Errorf("%v: there is an OPT record: %v", q, opt != nil)
	case opt != nil && (int(opt.UDPSize()) != most || opt.Version() != 0 || opt.Do()):
		t.Errorf("%v: the OPT record is not ours: %v", q, opt)
	}
	if got, most := len(got.raw), q.over.limit(most); got > most {
		t.Errorf("%v: the answer has %d bytes, the client takes %d", q, got, most)
	}
	return before || !t.Failed()
}

// compareFlags compares the header but for the id and RA.
func compareFlags(t *testing.T, q question, got, want answer) {
	t.Helper()
	ours, theirs := got.MsgHdr, want.MsgHdr
	ours.Id, ours.RecursionAvailable = theirs.Id, theirs.RecursionAvailable
	if diff := cmp.Diff(theirs, ours); diff != "" {
		t.Errorf("%v: the header differs from Consul's (-Consul +ours):\n%s", q, diff)
	}
}

// compareSection compares a section of two answers. Where Consul did not give
// all it has, the same number of records, all of them real, is as good.
func compareSection(t *testing.T, q question, section string, got, want, all []dns.RR) {
	t.Helper()
	ours, theirs, real := normal(got), normal(want), normal(all)
	if len(theirs) < len(real) && len(ours) == len(theirs) {
		for _, record := range ours {
			if !slices.Contains(real, record) {
				t.Errorf("%v: Consul has no such record in its %s section: %s", q, section, record)
			}
		}
		if unique := slices.Compact(slices.Clone(ours)); len(unique) != len(ours) {
			t.Errorf("%v: a record of the %s section stands there twice: %v", q, section, ours)
		}
		return
	}
	if diff := cmp.Diff(theirs, ours); diff != "" {
		t.Errorf("%v: the %s section differs from Consul's (-Consul +ours):\n%s", q, section, diff)
	}
}

// normal returns the records of a section in an order of their own. The serial
// of Consul's SOA is the time of day, and left out.
func normal(section []dns.RR) []string {
	copies := make([]dns.RR, len(section))
	for i, rr := range section {
		copies[i] = dns.Copy(rr)
		if soa, ok := copies[i].(*dns.SOA); ok {
			soa.Serial = 0
		}
	}
	texts := records(copies)
	slices.Sort(texts)
	return texts
}

// checkSRV holds an SRV answer against all that Consul has: every record is
// real; nothing is missing unless it does not fit; additional records go first,
// and silently; TC says that an SRV record is missing.
func checkSRV(t *testing.T, q question, got, all answer, most int) {
	t.Helper()
	room := q.over.limit(most)
	if got.IsEdns0() != nil {
		room -= len(packed(t, got.IsEdns0()))
	}
	haveSRV, haveExtra := normal(got.Answer), normal(got.Extra)
	wantSRV, wantExtra := normal(all.Answer), normal(all.Extra)
	for name, pair := range map[string][2][]string{"answer": {haveSRV, wantSRV}, "additional": {haveExtra, wantExtra}} {
		if strange := beyond(pair[0], pair[1]); len(strange) > 0 {
			t.Errorf("%v: Consul has no such records in its %s section: %v", q, name, strange)
		}
	}
	short := len(haveSRV) < len(wantSRV)
	if got.Truncated != short {
		t.Errorf("%v: TC is %v with %d of %d SRV records", q, got.Truncated, len(haveSRV), len(wantSRV))
	}
	if len(all.raw) <= room && (short || len(haveExtra) < len(wantExtra)) {
		t.Errorf("%v: %d SRV and %d additional records, though all %d and %d fit into %d bytes",
			q, len(haveSRV), len(haveExtra), len(wantSRV), len(wantExtra), room)
	}
	if short && len(haveExtra) > 0 {
		t.Errorf("%v: %d additional records stand where SRV records are missing", q, len(haveExtra))
	}
	if left := q.over.limit(most) - len(got.raw); short && left > biggestSRV(all) {
		t.Errorf("%v: SRV records are missing and %d bytes are left", q, left)
	}
	if diff := cmp.Diff(normal(all.Ns), normal(got.Ns)); diff != "" && !short {
		t.Errorf("%v: the authority section differs from Consul's (-Consul +ours):\n%s", q, diff)
	}
}

// beyond returns the elements of some that are not in sorted, each as often as it is one too many.
func beyond(some, sorted []string) []string {
	left := map[string]int{}
	for _, s := range sorted {
		left[s]++
	}
	var strange []string
	for _, s := range some {
		if left[s]--; left[s] < 0 {
			strange = append(strange, s)
		}
	}
	return strange
}

// packed is a record as it stands in a message.
func packed(t *testing.T, rr dns.RR) []byte {
	t.Helper()
	buf := make([]byte, dns.MaxMsgSize)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// biggestSRV is more than any SRV record of the answer takes, its owner written as a pointer.
func biggestSRV(a answer) int {
	most := 0
	for _, rr := range a.Answer {
		if srv, ok := rr.(*dns.SRV); ok {
			most = max(most, 2+10+6+len(strings.TrimSuffix(srv.Target, "."))+2)
		}
	}
	return most
}
