package firewall

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the golden files")

// ownNetwork moves the test into a network namespace of its own.
func ownNetwork(t testing.TB) {
	t.Helper()
	runtime.LockOSThread() // for good: the namespace ends with the thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("cannot make a network namespace (root may): %v", err)
	}
}

// nft runs nft in the test's namespace.
func nft(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command("nft", args...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("nft %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func apply(t testing.TB, f *Firewall, r *Rules) {
	t.Helper()
	if err := f.Apply(r); err != nil {
		t.Fatal(err)
	}
}

var elementList = regexp.MustCompile(`(?s)elements = \{(.*?)\}`)

// listing is the table as nft shows it, with the elements in an order of their own.
func listing(t testing.TB) string {
	t.Helper()
	return elementList.ReplaceAllStringFunc(nft(t, "--numeric-protocol", "--stateless", "list", "table", "inet", "panteras"), func(s string) string {
		list := strings.Split(elementList.FindStringSubmatch(s)[1], ",")
		for i := range list {
			list[i] = "\t\t\t" + strings.Join(strings.Fields(list[i]), " ")
		}
		slices.Sort(list)
		return "elements = {\n" + strings.Join(list, ",\n") + " }"
	})
}

var start = time.Unix(1_800_000_000, 0)

func at(clock *time.Time) func() time.Time { return func() time.Time { return *clock } }

// running is a clock that runs on from the start, as the kernel's does.
func running() func() time.Time {
	began := time.Now()
	return func() time.Time { return start.Add(time.Since(began)) }
}

func exampleRules() *Rules {
	return &Rules{
		Interface: "wg-panteras", DNSPort: 53, Masquerade: true,
		Gateway: []netip.Addr{addr("10.99.0.1"), addr("fd12::1")},
		Routes:  []netip.Prefix{prefix("10.210.0.0/24"), prefix("10.210.0.128/25"), prefix("192.168.7.0/24"), prefix("fd34::/64")},
		Peers: []Peer{
			{Addresses: []netip.Addr{addr("10.99.0.2"), addr("fd12::2")}, Allow: []Allow{{Network: prefix("10.210.0.0/24")}, {Network: prefix("192.168.0.0/16")}, {Network: prefix("fd34::/64")}}},
			{Addresses: []netip.Addr{addr("10.99.0.6"), addr("fd12::6")}, Allow: []Allow{{Network: prefix("10.210.0.0/24")}, {Network: prefix("fd34::/80")}}},
			{Addresses: []netip.Addr{addr("10.99.0.3")}, Expires: start.Add(30 * 24 * time.Hour), Allow: []Allow{
				{Network: prefix("10.210.0.7/32"), Protocol: protoTCP, First: 80, Last: 80},
				{Network: prefix("10.210.0.7/32"), Protocol: protoTCP, First: 8000, Last: 8999},
				{Network: prefix("192.168.0.0/16"), Protocol: protoUDP, First: 53, Last: 53},
			}},
			{Addresses: []netip.Addr{addr("10.99.0.4")}}, // may nothing but DNS
			{Addresses: []netip.Addr{addr("10.99.0.5")}, Expires: start.Add(-time.Second), Allow: []Allow{{Network: prefix("10.210.0.0/24")}}},
		},
	}
}

// The kernel has exactly the rules of the golden files, as nft reads them.
func TestGoldenRules(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Rules)
	}{
		{"masquerade", func(r *Rules) { r.HostPorts = []uint16{80, 6000} }},
		{"floating", func(r *Rules) { r.Peers, r.Floating = nil, netip.MustParseAddrPort("10.210.0.100:51820") }},
		{"routed-ipv4", func(r *Rules) {
			r.Masquerade, r.DNSPort = false, 5353
			r.Gateway, r.Routes = r.Gateway[:1], r.Routes[:3]
			r.Peers[0].Addresses = r.Peers[0].Addresses[:1]
		}},
		{"nobody", func(r *Rules) { r.Peers = nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			ownNetwork(t)
			r := exampleRules()
			test.change(r)
			now := start
			apply(t, New(at(&now)), r)
			got := listing(t)
			file := filepath.Join("testdata", test.name+".nft")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got, or run with -update:\n%s", diff)
			}
		})
	}
}

// Whatever the way, the same rules make the same table.
func TestUpdatesEndWhereAFreshTableBegins(t *testing.T) {
	ownNetwork(t)
	now := start
	f := New(at(&now))
	empty := exampleRules()
	empty.Peers = nil
	apply(t, f, empty)
	narrowed := exampleRules()
	narrowed.Peers[0].Allow = narrowed.Peers[0].Allow[:1]
	narrowed.Peers[2].Expires = time.Time{}
	for i, r := range []*Rules{exampleRules(), exampleRules(), narrowed, empty, exampleRules()} {
		apply(t, f, r)
		got := listing(t)
		apply(t, New(at(&now)), r)
		if diff := cmp.Diff(listing(t), got); diff != "" {
			t.Fatalf("step %d: -fresh +updated:\n%s", i, diff)
		}
	}
}

// Changing peers does not touch the rest of the table: its counters go on.
func TestPeersChangeWithoutANewTable(t *testing.T) {
	ownNetwork(t)
	f := New(running())
	apply(t, f, exampleRules())
	handle := func() string {
		return regexp.MustCompile(`table inet panteras \{ # handle (\d+)`).FindString(nft(t, "--handle", "list", "table", "inet", "panteras"))
	}
	before := handle()
	less := exampleRules()
	less.Peers = less.Peers[1:]
	apply(t, f, less)
	if after := handle(); after != before || before == "" {
		t.Errorf("%q became %q", before, after)
	}
	if l := listing(t); strings.Contains(l, "10.99.0.2") || !strings.Contains(l, "10.99.0.3") {
		t.Error(l)
	}
}

// A table that somebody took away, emptied or changed is put back, even if nothing has
// changed; so it is with the next change of peers.
func TestTheTableIsMended(t *testing.T) {
	ownNetwork(t)
	now := start
	f := New(at(&now))
	less := exampleRules()
	less.Peers = less.Peers[1:]
	want := map[int]string{} // by the number of peers
	for _, r := range []*Rules{exampleRules(), less} {
		apply(t, New(at(&now)), r)
		want[len(r.Peers)] = listing(t)
	}
	const ours = "inet panteras "
	rule := func(chain string) string {
		return regexp.MustCompile(`# handle (\d+)\n\t}`).FindStringSubmatch(nft(t, "-a", "list", "chain", "inet", "panteras", chain))[1]
	}
	for i, damage := range []func() string{
		func() string { return "delete table " + ours },
		func() string { return "flush ruleset" },
		func() string { return "flush table " + ours },
		func() string { return "flush chain " + ours + "forward" },
		func() string { return "flush chain " + ours + "from_peer" },
		func() string { return "delete rule " + ours + "from_peer handle " + rule("from_peer") },
		func() string { return "replace rule " + ours + "from_peer handle " + rule("from_peer") + " accept" },
		func() string { return "insert rule " + ours + "forward accept" },
		func() string { return "add table " + ours + "{ flags dormant; }" },
		func() string { return "chain " + ours + "input { policy drop; }" },
		func() string { return "add chain " + ours + "theirs" },
		func() string { return "flush set " + ours + "closed4" },
		func() string { return "add element " + ours + "routes4 { 10.0.0.0/24 }" },
		func() string { return "flush set " + ours + "peers4" },
		func() string { return "delete element " + ours + "peers6 { fd12::2 }" },
		func() string { return "add element " + ours + "full4 { 10.99.0.4 }" },
		func() string {
			return "delete element " + ours + "peers4 { 10.99.0.3 }; add element " + ours + "peers4 { 10.99.0.3 }" // for ever
		},
		func() string {
			return "delete element " + ours + "peers4 { 10.99.0.6 }; add element " + ours + "peers4 { 10.99.0.6 timeout 1h }"
		},
		func() string { return "add element " + ours + "policy4 { 10.99.0.4 . 10.210.0.7 . tcp . 80-90 }" },
	} {
		for _, next := range []*Rules{exampleRules(), less}[i%2:] {
			apply(t, f, exampleRules())
			if !f.InForce() {
				t.Fatal("not in force at first")
			}
			what := damage()
			nft(t, what)
			if f.InForce() {
				t.Errorf("in force after %s", what)
			}
			apply(t, f, next)
			if diff := cmp.Diff(want[len(next.Peers)], listing(t)); diff != "" || !f.InForce() {
				t.Errorf("after %s: -want +got:\n%s", what, diff)
			}
		}
	}
	// What others do elsewhere is none of our business.
	nft(t, "add table inet theirs")
	if !f.InForce() {
		t.Error("not in force beside another table")
	}
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
	if got := nft(t, "list", "tables"); got != "table inet theirs\n" || f.InForce() {
		t.Errorf("left: %s", got)
	}
}

// An element ends in the kernel, whether anybody looks or not; the next change finds that
// it has gone and is none the worse.
func TestElementsEndByThemselves(t *testing.T) {
	ownNetwork(t)
	now := start
	f := New(at(&now))
	r := exampleRules()
	r.Peers[2].Expires = start.Add(3 * time.Second)
	apply(t, f, r)
	if !strings.Contains(listing(t), "10.99.0.3") {
		t.Fatal("there is no element")
	}
	deadline := time.Now().Add(20 * time.Second)
	for strings.Contains(listing(t), "10.99.0.3") {
		if time.Now().After(deadline) {
			t.Fatal("the element does not end")
		}
	}
	nft(t, "add table inet theirs") // so that all is looked at
	now = start.Add(3 * time.Second)
	if !f.InForce() {
		t.Error("not in force because somebody has expired")
	}
	now = start
	later := exampleRules()
	later.Peers = later.Peers[:1]
	apply(t, f, later) // its clock says that the element should still be there
	if l := listing(t); !strings.Contains(l, "10.99.0.2") {
		t.Error(l)
	}
}

func TestManyPeersInOneBatch(t *testing.T) {
	ownNetwork(t)
	f := New(running())
	r := exampleRules()
	r.Peers = nil
	base4, base6 := addr("10.99.0.1"), addr("fd12::1")
	r.Routes = []netip.Prefix{prefix("10.210.0.0/24"), prefix("fd34::/64")}
	const each = 3300
	for i := range 3 * each {
		base4, base6 = base4.Next(), base6.Next()
		p := Peer{Addresses: []netip.Addr{base4, base6}, Allow: []Allow{{Network: prefix("10.210.0.0/24")}, {Network: prefix("fd34::/64")}}}
		switch i % 3 { // else everything within the routes
		case 1:
			p.Allow = []Allow{{Network: prefix("10.210.0.0/25")}, {Network: prefix("fd34::/80")}}
		case 2:
			p.Allow = []Allow{{Network: prefix("10.210.0.7/32"), Protocol: protoTCP, First: 80, Last: 80}, {Network: prefix("fd34::7/128"), Protocol: protoUDP, First: 53, Last: 53}}
		}
		r.Peers = append(r.Peers, p)
	}
	began := time.Now()
	apply(t, f, r)
	t.Logf("9,900 peers: %v", time.Since(began))
	began = time.Now()
	less := *r
	less.Peers = r.Peers[3:]
	apply(t, f, &less)
	t.Logf("three of them less: %v", time.Since(began))
	for _, meanwhile := range []func(){func() {}, func() { nft(t, "add table inet theirs") }} {
		meanwhile()
		began = time.Now()
		if !f.InForce() {
			t.Error("not in force")
		}
		t.Logf("seen to be in force after %v", time.Since(began))
	}
	for set, want := range map[string]int{"peers": 3 * (each - 1), "full": each - 1, "exact": each - 1, "policy": each - 1} {
		for _, family := range []string{"4", "6"} {
			list := elementList.FindString(nft(t, "list", "set", "inet", "panteras", set+family))
			if got := strings.Count(list, ",") + 1; got != want {
				t.Errorf("%s%s has %d elements, want %d", set, family, got, want)
			}
		}
	}
}

func TestWarningsNameTheChainAndTheCommand(t *testing.T) {
	ownNetwork(t)
	now := start
	apply(t, New(at(&now)), exampleRules())
	if list, err := Warnings("wg-panteras"); err != nil || len(list) != 0 {
		t.Errorf("our own table: %v, %v", list, err)
	}
	nft(t, `table inet theirs {
		chain fw { type filter hook forward priority 0; policy drop; }
		chain in { type filter hook input priority 0; policy drop; }
		chain out { type filter hook output priority 0; policy drop; }
		chain harmless { type filter hook forward priority 0; policy accept; }
		chain regular { }
	}`)
	nft(t, `table ip filter {
		chain FORWARD { type filter hook forward priority 0; policy drop; }
	}`)
	list, err := Warnings("wg-panteras")
	if err != nil || len(list) != 3 {
		t.Fatalf("%v, %q", err, list)
	}
	for i, want := range []string{
		"nft insert rule inet theirs fw iifname wg-panteras accept",
		"nft insert rule inet theirs in iifname wg-panteras accept",
		"iptables -I DOCKER-USER -i wg-panteras",
	} {
		if !strings.Contains(strings.Join(list, "\n"), want) {
			t.Errorf("%d: %q not in %q", i, want, list)
		}
	}
	// What we advise is what nft takes.
	nft(t, strings.Split("insert rule inet theirs fw iifname wg-panteras accept", " ")...)
}
