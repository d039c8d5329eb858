package tunnel

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func rule(t testing.TB, text string) Rule {
	t.Helper()
	r, err := ParseRule(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func nets(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func TestNames(t *testing.T) {
	for _, good := range []string{"a", "alice-laptop", "Bob.home_2", "0", strings.Repeat("x", 63)} {
		if err := CheckPeerName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", strings.Repeat("x", 64), "a b", "-a", "a-", ".a", "..", "a/b", "../a", "a\n", "a\nPostUp=x", "a\x00", "a;b", "$(id)", "`id`", "a'b", `a"b`,
		"ä", "a\u202eb", "a%i", "a#b", "a=b", "*", "a\\b", "~", "a\x1b[31m",
	} {
		err := CheckPeerName(bad)
		if err == nil || strings.ContainsAny(err.Error(), "\n\x00\x1b") {
			t.Errorf("%q: %v", bad, err)
		}
		if CheckGatewayName(bad) == nil {
			t.Errorf("a gateway may be called %q", bad)
		}
	}
}

func TestRules(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.2.3": "10.1.2.3/32", "10.1.2.3/16": "10.1.0.0/16", "fd00:1::7": "fd00:1::7/128", "10.0.0.0/8:tcp": "10.0.0.0/8:tcp",
		"10.1.0.0/16:tcp/443,80,80": "10.1.0.0/16:tcp/80,443", "fd00::/64:udp/53": "fd00::/64:udp/53", "10.0.0.1:tcp/8000-8100,8101,9000-9000": "10.0.0.1/32:tcp/8000-8101,9000",
		"10.0.0.1:tcp/1-65535": "10.0.0.1/32:tcp/1-65535", "10.0.0.1:tcp/5,3-9,65535": "10.0.0.1/32:tcp/3-9,65535", "::ffff:10.0.0.1": "10.0.0.1/32",
	} {
		if got := rule(t, text); got.String() != want {
			t.Errorf("%s is read as %s, want %s", text, got, want)
		} else if err := got.Check(); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "x", "10.0.0.0/33", "10.0.0.1:80", "10.0.0.1:icmp", "10.0.0.1:tcp/", "10.0.0.1:tcp/0", "10.0.0.1:tcp/65536", "10.0.0.1:tcp/9-8", "10.0.0.1:tcp80",
		"10.0.0.1:tcp/80:udp/53", "10.0.0.1:udp/53:tcp/80", "tcp/80", "10.0.0.1:tcp/80;id", "fe80::1%eth0", "::ffff:10.0.0.0/104", "10.0.0.1:tcp/-1", "10.0.0.1:tcp/1-2-3", "10.0.0.1:tcp/+1",
	} {
		if r, err := ParseRule(bad); err == nil {
			t.Errorf("%q is read as %s", bad, r)
		}
	}
	for _, r := range []Rule{{}, {Network: netip.MustParsePrefix("10.0.0.1/8")}, {Network: nets("10.0.0.0/8")[0], Protocol: "icmp"}, {Network: nets("10.0.0.0/8")[0], Ports: []PortRange{{1, 2}}}, {Network: nets("10.0.0.0/8")[0], Protocol: TCP, Ports: []PortRange{{9, 1}}}} {
		if r.Check() == nil {
			t.Errorf("%+v is taken for a rule", r)
		}
	}
}

func TestPolicyNeverGoesBeyondTheRoutes(t *testing.T) {
	routes := nets("10.1.0.0/16", "10.2.0.0/24", "fd00:1::/64")
	for _, test := range []struct{ rules, want string }{
		{"", "10.1.0.0/16 10.2.0.0/24 fd00:1::/64"},
		{"10.1.7.0/24:tcp/80", "10.1.7.0/24:tcp/80"},
		{"10.0.0.0/8:udp", "10.1.0.0/16:udp 10.2.0.0/24:udp"},
		{"192.0.2.0/24", ""},
		{"0.0.0.0/0 ::/0", "10.1.0.0/16 10.2.0.0/24 fd00:1::/64"},
		{"10.1.0.0/16 10.1.0.0/16", "10.1.0.0/16"},
	} {
		var rules []Rule
		for text := range strings.FieldsSeq(test.rules) {
			rules = append(rules, rule(t, text))
		}
		var got []string
		for _, r := range Bound(rules, routes) {
			got = append(got, r.String())
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%q becomes %q, want %q", test.rules, got, test.want)
		}
	}
	if got := Bound(nil, nil); len(got) > 0 {
		t.Errorf("without routes a peer reaches %v", got)
	}
	for text, within := range map[string]bool{"10.1.0.0/16": true, "10.1.2.3:tcp/1": true, "10.0.0.0/8": false, "10.2.1.0/24": false, "fd00:1::1": true, "::/0": false} {
		if err := CheckWithin(rule(t, text), routes); (err == nil) != within {
			t.Errorf("%s within the routes: %v", text, err)
		}
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	k, err := NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	secret := k.Reveal()
	holder := struct {
		Key  SecretKey
		Keys []SecretKey
	}{k, []SecretKey{k}}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "holder", holder)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k, "holder", holder, "secrets", Secrets{Private: k})
	shown := log.String() + fmt.Sprintf("%v %+v %#v %s %q %x %v %+v", k, k, k, k, k, k, holder, &holder)
	raw := k.Key()
	if strings.Contains(shown, secret) || strings.Contains(shown, secret[:20]) || strings.Contains(shown, fmt.Sprintf("%x", raw[:])) || strings.Contains(shown, fmt.Sprint(raw[:4])[1:]) {
		t.Errorf("the key %s is in %s", secret, shown)
	}
	if text, err := json.Marshal(holder); err == nil {
		t.Errorf("a secret became JSON: %s", text)
	}
	if _, err := ParseSecretKey(secret[:43] + "!"); err == nil || strings.Contains(err.Error(), secret[:10]) {
		t.Errorf("a bad key: %v", err)
	}
}

func TestPublicKeysHaveOneText(t *testing.T) {
	private, err := NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	k := private.Public()
	if again, err := ParsePublicKey(k.String()); err != nil || again != k {
		t.Errorf("%s is read as %s, %v", k, again, err)
	}
	text := k.String()
	// The last character before = holds four bits of the key and two that are 0.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	other := text[:42] + string(alphabet[strings.IndexByte(alphabet, text[42])|1]) + "="
	for _, bad := range []string{"", text[:43], text + "=", " " + text, text + "\n", other, strings.Repeat("A", 43) + "=", strings.ReplaceAll(strings.ReplaceAll(text, "+", "-"), "/", "_") + "x"} {
		if _, err := ParsePublicKey(bad); err == nil {
			t.Errorf("%q is taken for a key", bad)
		}
	}
}

func TestPresharedKeys(t *testing.T) {
	one, other := newSecrets(t), newSecrets(t)
	p := &Peer{Name: "alice", PublicKey: one.Private.Public()}
	var err error
	if p.Preshared, err = one.NewPreshared(); err != nil {
		t.Fatal(err)
	}
	k, err := one.PresharedKey(p)
	twin := Secrets{Preshared: one.Preshared}
	if again, err2 := twin.PresharedKey(p); err != nil || err2 != nil || again != k || k.IsZero() {
		t.Errorf("a twin makes another key: %v, %v", err, err2)
	}
	if _, err := other.PresharedKey(p); err == nil || !strings.Contains(err.Error(), "copy tunnel/preshared.key") {
		t.Errorf("another secret: %v", err)
	}
	if _, err := new(Secrets).PresharedKey(p); err == nil || !strings.Contains(err.Error(), "copy tunnel/preshared.key") {
		t.Errorf("no secret: %v", err)
	}
	if _, err := new(Secrets).NewPreshared(); err == nil {
		t.Error("a preshared key of no secret")
	}
	copied := p.Clone()
	copied.PublicKey = other.Private.Public()
	if stolen, err := one.PresharedKey(&copied); err != nil || stolen == k {
		t.Errorf("a copied salt makes the same key (%v)", err)
	}
	again, err := one.NewPreshared()
	if err != nil || slices.Equal(again.Salt, p.Preshared.Salt) {
		t.Errorf("two salts are equal (%v)", err)
	}
}

func newSecrets(t *testing.T) *Secrets {
	t.Helper()
	private, err := NewPrivateKey()
	preshared, err2 := NewPresharedKey()
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return &Secrets{Private: private, Preshared: preshared}
}

func TestChooseGateway(t *testing.T) {
	gateway := func(name, endpoint string) GatewayInfo {
		return GatewayInfo{Name: name, Endpoint: endpoint, PublicKey: PublicKey{1}}
	}
	one, two, other := gateway("one", "vip:1"), gateway("two", "vip:1"), gateway("other", "elsewhere:1")
	for _, test := range []struct {
		gateways   []GatewayInfo
		name, host string
		want       string
	}{
		{nil, "", "one", "run `panteras gateway`"},
		{[]GatewayInfo{one}, "", "laptop", "one"},
		{[]GatewayInfo{one, two}, "", "laptop", "one"},
		{[]GatewayInfo{one, two, other}, "", "laptop", "several gateways: one, two, other"},
		{[]GatewayInfo{one, two, other}, "", "other", "other"},
		{[]GatewayInfo{one, two, other}, "two", "other", "two"},
		{[]GatewayInfo{one, two}, "three", "one", "there are: one, two"},
	} {
		got, err := ChooseGateway(test.gateways, test.name, test.host)
		if err != nil && !strings.Contains(err.Error(), test.want) || err == nil && got.Name != test.want {
			t.Errorf("%q on %s: %s, %v, want %s", test.name, test.host, got.Name, err, test.want)
		}
	}
}

func TestStatusSocketsAreShort(t *testing.T) {
	long := "/run/panteras/" + strings.Repeat("long", 15)
	a, b := StatusSocket(long, strings.Repeat("/state", 50)), StatusSocket(long, strings.Repeat("/state", 51))
	if len(a) > 107 || a == b || StatusSocket("/run", "/a/") != StatusSocket("/run", "/a") {
		t.Errorf("%s, %s", a, b)
	}
}

func TestNewClusters(t *testing.T) {
	a, b := NewCluster(), NewCluster()
	if a == b || a.Check() != nil || !a.ULA.Addr().IsPrivate() {
		t.Errorf("%v, %v", a, b)
	}
	for _, bad := range []string{"fd00::1/64", "fc00::/64", "fd00::/48", "10.0.0.0/8", "2001:db8::/64"} {
		if (Cluster{ULA: netip.MustParsePrefix(bad)}).Check() == nil {
			t.Errorf("%s is taken for a ULA", bad)
		}
	}
	if (Cluster{}).Check() == nil {
		t.Error("nothing is taken for a ULA")
	}
}

func TestDesired(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	peer := func(number byte, change func(*Peer)) Peer {
		p := Peer{Name: fmt.Sprint("peer", number), PublicKey: PublicKey{number}, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 99, 0, number})}}
		if change != nil {
			change(&p)
		}
		return p
	}
	gateway := &GatewayInfo{PublicKey: PublicKey{99}, Networks: nets("10.99.0.0/16", "fd00::/64"), Routes: nets("10.1.0.0/16")}
	s := &Snapshot{Peers: []Peer{
		peer(2, nil),
		peer(3, func(p *Peer) { p.Disabled = true }),
		peer(4, func(p *Peer) { p.Expires = now }),
		peer(5, func(p *Peer) { p.Expires = now.Add(time.Hour) }),
		peer(6, func(p *Peer) {
			p.Expires = now.Add(time.Minute)
			p.Allow = []Rule{rule(t, "10.1.2.3:tcp/80"), rule(t, "10.9.0.0/16")}
		}),
		peer(7, func(p *Peer) { p.Addresses = []netip.Addr{netip.MustParseAddr("10.99.0.2")} }),
		peer(8, func(p *Peer) { p.PublicKey = PublicKey{2} }),
		peer(9, func(p *Peer) { p.PublicKey = PublicKey{99} }),
		peer(10, func(p *Peer) { p.Addresses = []netip.Addr{netip.MustParseAddr("10.99.0.1")} }),
		peer(11, func(p *Peer) { p.Addresses = []netip.Addr{netip.MustParseAddr("10.98.0.1")} }),
		peer(12, func(p *Peer) { p.Addresses = append(p.Addresses, netip.MustParseAddr("fd00::c")) }),
		peer(13, func(p *Peer) { p.Addresses = append(p.Addresses, netip.MustParseAddr("fdff::c")) }),
		peer(14, func(p *Peer) { p.Preshared = &Preshared{} }),
		peer(15, func(p *Peer) { p.Preshared = &Preshared{Secret: "wrong"} }),
		peer(16, func(p *Peer) { p.Allow = []Rule{rule(t, "10.9.0.0/16")} }),
	}}
	secret, err := NewPresharedKey()
	if err != nil {
		t.Fatal(err)
	}
	d := Desire(s, now, gateway, func(p *Peer) (SecretKey, error) {
		if p.Preshared.Secret == "wrong" {
			return SecretKey{}, errNoPresharedSecret
		}
		return secret, nil
	})
	var got []string
	for _, p := range d.Peers {
		text := fmt.Sprint(p.Name, " ", p.Addresses, " ", p.Rules)
		if !p.Preshared.IsZero() {
			text += " preshared"
		}
		got = append(got, text)
	}
	want := []string{
		"peer2 [10.99.0.2] [10.1.0.0/16]", "peer5 [10.99.0.5] [10.1.0.0/16]", "peer6 [10.99.0.6] [10.1.2.3/32:tcp/80]",
		"peer12 [10.99.0.12 fd00::c] [10.1.0.0/16]", "peer13 [10.99.0.13] [10.1.0.0/16]", "peer14 [10.99.0.14] [10.1.0.0/16] preshared", "peer16 [10.99.0.16] []",
	}
	if !slices.Equal(got, want) {
		t.Errorf("desired:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !d.Next.Equal(now.Add(time.Minute)) {
		t.Errorf("the next change is at %v", d.Next)
	}
	var problems []string
	for _, p := range d.Problems {
		problems = append(problems, strings.Fields(p.Error())[1])
	}
	if want := "peer7 peer8 peer9 peer10 peer11 peer15"; strings.Join(problems, " ") != want {
		t.Errorf("problems %v, want those of %s", d.Problems, want)
	}
}
