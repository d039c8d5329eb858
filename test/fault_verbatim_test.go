package test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// Where the bytes may differ between what one side sent and the other got.
const (
	idEnd  = 2
	raByte = 3
	raBit  = 0x80
)

// A proxy is transparent (RFC 5625): types, classes, flags, opcodes and options
// that nobody has heard of go through both ways, byte for byte.
func TestQueriesAndRepliesAreVerbatim(t *testing.T) {
	for _, v := range bothRoutes {
		name := hex.EncodeToString(wireNameOf(t, "MiXed."+v.name))
		for what, test := range map[string]struct{ query, reply string }{
			"unknown type": {
				query: "0100 0001 0000 0000 0000" + name + "ff00 0001",
				reply: "8580 0001 0001 0000 0000" + name + "ff00 0001" + "c00c ff00 0001 00000000 0005 c00c00ff41",
			},
			"unknown class": {
				query: "0100 0001 0000 0000 0000" + name + "0001 00f0",
				reply: "8580 0001 0001 0000 0000" + name + "0001 00f0" + "c00c 0001 00f0 0000000a 0003 010203",
			},
			"AD, CD and the reserved bit": {
				query: "0170 0001 0000 0000 0000" + name + "0001 0001",
				reply: "85f0 0001 0001 0000 0000" + name + "0001 0001" + "c00c 0001 0001 00000000 0004 c0000201",
			},
			"no recursion desired": {
				query: "0000 0001 0000 0000 0000" + name + "0001 0001",
				reply: "8400 0001 0001 0000 0000" + name + "0001 0001" + "c00c 0001 0001 00000000 0004 c0000201",
			},
			"NOTIFY with an answer": {
				query: "2400 0001 0001 0000 0000" + name + "0006 0001" + "c00c 0010 0001 00000000 0002 0141",
				reply: "a400 0001 0000 0000 0000" + name + "0006 0001",
			},
			"NXDOMAIN with an SOA": {
				query: "0100 0001 0000 0000 0000" + name + "001c 0001",
				reply: "8583 0001 0000 0001 0000" + name + "001c 0001" + "00 0006 0001 00000e10 0016 00 00 00000001 00000002 00000003 00000004 00000005",
			},
			"unknown rcode": {
				query: "0100 0001 0000 0000 0000" + name + "0001 0001",
				reply: "858b 0001 0000 0000 0000" + name + "0001 0001",
			},
			"unknown options, a cookie and DO": {
				query: "0100 0001 0000 0000 0001" + name + "0001 0001" + "00 0029 04d0 00008000 0014" + "fde9 0004 01020304" + "000a 0008 0102030405060708",
				reply: "8580 0001 0001 0000 0001" + name + "0001 0001" + "c00c 0001 0001 00000000 0004 c0000201" + "00 0029 04d0 00008000 000a" + "fdea 0006 aabbccddeeff",
			},
			"an extended rcode and unknown EDNS flags": {
				query: "0100 0001 0000 0000 0001" + name + "0001 0001" + "00 0029 04d0 00007fff 0000",
				reply: "8580 0001 0000 0000 0001" + name + "0001 0001" + "00 0029 04d0 01007fff 0000",
			},
		} {
			t.Run(v.route+"/"+what, func(t *testing.T) {
				t.Parallel()
				query, reply := message(t, test.query), message(t, test.reply)
				u := lab.NewUpstream(t, func(q *lab.Query) []lab.Action {
					if !bytes.Contains(q.Raw, []byte("MiXed")) {
						return nil // a probe
					}
					if !bytes.Equal(q.Raw[idEnd:], query[idEnd:]) {
						t.Errorf("the upstream got (TCP: %v)\n%x, want\n%x", q.TCP, q.Raw[idEnd:], query[idEnd:])
					}
					return []lab.Action{lab.Bytes(append(bytes.Clone(q.Raw[:idEnd]), reply[idEnd:]...))}
				})
				d := startDNSD(t, to(v.flag, u))
				want := bytes.Clone(reply)
				want[raByte] |= raBit
				eachNetwork(t, func(t *testing.T, network string) {
					if got := d.askRaw(t, network, query); !bytes.Equal(got, want) {
						t.Errorf("the client got\n%x, want\n%x", got, want)
					}
				})
			})
		}
	}
}

// Of the OPT only the size is ours: the server's in the answer, the client's cut
// to DNS_UDP_SIZE in the query.
func TestOnlyTheSizeOfOPTChanges(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		name := hex.EncodeToString(wireNameOf(t, v.name))
		query := message(t, "0100 0001 0000 0000 0001"+name+"0001 0001"+"00 0029 1000 00008000 0008 fde9 0004 01020304")
		reply := message(t, "8580 0001 0000 0000 0001"+name+"0001 0001"+"00 0029 1000 00008000 0000")
		at := 12 + len(name)/2 + 4 + 3 // of the size
		u := scripted(t, func(a attempt) []lab.Action {
			want := bytes.Clone(query)
			binary.BigEndian.PutUint16(want[at:], 1232)
			if !bytes.Equal(a.Raw[idEnd:], want[idEnd:]) {
				t.Errorf("the upstream got\n%x, want\n%x", a.Raw[idEnd:], want[idEnd:])
			}
			return []lab.Action{lab.Bytes(append(bytes.Clone(a.Raw[:idEnd]), reply[idEnd:]...))}
		})
		d := startDNSD(t, to(v.flag, u))
		want := bytes.Clone(reply)
		binary.BigEndian.PutUint16(want[at:], 1232)
		if got := d.askRaw(t, "udp", query); !bytes.Equal(got, want) {
			t.Errorf("the client got\n%x, want\n%x", got, want)
		}
	})
}

// The client's spelling comes back, even if the server changes it.
func TestSpellingOfTheClient(t *testing.T) {
	eachRoute(t, func(t *testing.T, v via) {
		for what, edit := range map[string]lab.Edit{"lower case": lab.LowerCase(), "other case": lab.SwapCase()} {
			d := startDNSD(t, to(v.flag, scripted(t, func(attempt) []lab.Action {
				return []lab.Action{lab.Reply(lab.Answers("@ 0 IN A "+trueAddress), edit)}
			})))
			eachNetwork(t, func(t *testing.T, network string) {
				reply := d.ask(t, network, ednsQuery("WwW."+v.name, dns.TypeA))
				if want := "WwW." + v.name + "."; reply.Question[0].Name != want || reply.Answer[0].Header().Name != want {
					t.Errorf("%s: want %s in the question and as the owner, got:\n%v", what, want, reply)
				}
			})
		}
	})
}

// message reads hexadecimal digits, in groups, after an id of its own.
func message(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString("4e57" + string(bytes.ReplaceAll([]byte(text), []byte(" "), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// wireNameOf is a name as it stands in messages.
func wireNameOf(t testing.TB, name string) []byte {
	t.Helper()
	wire := make([]byte, 255)
	n, err := dns.PackDomainName(dns.Fqdn(name), wire, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return wire[:n]
}
