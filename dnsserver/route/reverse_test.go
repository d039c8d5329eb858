package route

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// Every address reads back from its reverse name, which is the one that miekg/dns makes.
func TestReverseNamesRoundTrip(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	check := func(a netip.Addr) {
		want, err := dns.ReverseAddr(a.String())
		if err != nil {
			t.Fatal(err)
		}
		got := ReverseName(a)
		if got+"." != want {
			t.Fatalf("%s: %s, want %s", a, got, want)
		}
		if back, ok := ReverseAddr(name(t, got)); !ok || back != a {
			t.Fatalf("%s reads back as %s, %v", a, back, ok)
		}
	}
	for range 3000 {
		var b [16]byte
		for i := range b {
			b[i] = byte(rng.Uint32() >> rng.IntN(32))
		}
		check(netip.AddrFrom4([4]byte(b[:4])))
		check(netip.AddrFrom16(b))
	}
	if got := ReverseName(netip.MustParseAddr("::ffff:192.0.2.1")); got != "1.2.0.192.in-addr.arpa" {
		t.Errorf("a mapped address is %s", got)
	}
}

func TestReverseAddrRefusesWhatIsNoAddress(t *testing.T) {
	t.Parallel()
	six := strings.Repeat("0.", 32) + "ip6.arpa"
	for _, asked := range []string{
		".", "arpa", "in-addr.arpa", "ip6.arpa", "1.in-addr.arpa", "1.2.3.in-addr.arpa", "1.2.3.4.5.in-addr.arpa", "256.2.3.4.in-addr.arpa", "01.2.3.4.in-addr.arpa",
		"00.2.3.4.in-addr.arpa", "1234.2.3.4.in-addr.arpa", "a.2.3.4.in-addr.arpa", "1.2.3.4.in-addr.arpx", "1.2.3.4.in-addrs.arpa", "0-63.2.3.4.in-addr.arpa",
		"0." + six, six[2:], "g" + six[1:], "00" + six[1:], "A" + six[1:], strings.Replace(six, "0.0.", "00.", 1),
	} {
		if a, ok := ReverseAddr(name(t, asked)); ok {
			t.Errorf("%s was read as %s", asked, a)
		}
	}
	if a, ok := ReverseAddr(name(t, "0.0.0.0.in-addr.arpa")); !ok || a != netip.IPv4Unspecified() {
		t.Errorf("0.0.0.0 was read as %v, %v", a, ok)
	}
}

func TestReverseZones(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{
		"198.51.100.0/24":   "100.51.198.in-addr.arpa",
		"198.18.8.0/22":     "8.18.198.in-addr.arpa 9.18.198.in-addr.arpa 10.18.198.in-addr.arpa 11.18.198.in-addr.arpa",
		"198.18.9.7/23":     "8.18.198.in-addr.arpa 9.18.198.in-addr.arpa",
		"198.51.100.254/31": "254.100.51.198.in-addr.arpa 255.100.51.198.in-addr.arpa",
		"198.51.100.7/32":   "7.100.51.198.in-addr.arpa",
		"0.0.0.0/0":         "in-addr.arpa",
		"2001:db8::/32":     "8.b.d.0.1.0.0.2.ip6.arpa",
		"2001:db8::/35":     "0.8.b.d.0.1.0.0.2.ip6.arpa 1.8.b.d.0.1.0.0.2.ip6.arpa",
		"2001:db80::/27":    "8.b.d.1.0.0.2.ip6.arpa 9.b.d.1.0.0.2.ip6.arpa",
	} {
		if got := strings.Join(ReverseZones(netip.MustParsePrefix(prefix)), " "); got != want {
			t.Errorf("%s: %s, want %s", prefix, got, want)
		}
	}
}

// No bytes make the lookup fail, and what is read as an address is spelled as its name.
func FuzzLookup(f *testing.F) {
	for _, s := range []string{"1.2.0.192.in-addr.arpa", strings.Repeat("f.", 32) + "ip6.arpa", "a.consul", "."} {
		f.Add(name(f, s))
	}
	f.Add([]byte("\x3f\x00"))
	table := New(0)
	if err := table.Add(Consul, name(f, "consul"), 1); err != nil {
		f.Fatal(err)
	}
	table.AddReverse(netip.MustParsePrefix("192.0.2.0/24"), 2)
	table.Seal()
	f.Fuzz(func(t *testing.T, raw []byte) {
		text, n, err := dns.UnpackDomainName(raw, 0)
		if err != nil || n > 255 {
			return
		}
		wire := name(t, strings.ToLower(text))
		e := table.Lookup(wire)
		if want := dns.IsSubDomain("consul.", strings.ToLower(text)); want != (e.Target == 1) {
			t.Fatalf("%s: target %d", text, e.Target)
		}
		if a, ok := ReverseAddr(wire); ok {
			if string(name(t, ReverseName(a))) != string(wire) {
				t.Fatalf("%q was read as %s", wire, a)
			}
			if (e.Target == 2) != netip.MustParsePrefix("192.0.2.0/24").Contains(a) {
				t.Fatalf("%s: target %d", a, e.Target)
			}
		}
	})
}
