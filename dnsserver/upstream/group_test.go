package upstream

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// group is one of n servers that are never asked: 192.0.2.1:53 and so on.
func group(t *testing.T, n int, consul bool) *Group {
	t.Helper()
	g := &Group{Consul: consul}
	for i := range n {
		u := New(netip.MustParseAddrPort(fmt.Sprintf("192.0.2.%d:53", i+1)), false, consul, nil, slog.New(slog.DiscardHandler))
		t.Cleanup(u.Close)
		g.Servers = append(g.Servers, u)
	}
	return g
}

// order is the servers that a query is sent to, by number, until none is left.
func order(g *Group, try *Try, from string, again bool) (list []int) {
	var client netip.Addr
	if from != "" {
		client = netip.MustParseAddr(from)
	}
	for range 2 * (len(g.Servers) + 1) {
		u := g.Next(try, client, again)
		if u == nil {
			break
		}
		list = append(list, slices.Index(g.Servers, u)+1)
	}
	return list
}

func TestNext(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		consul bool
		setup  func(g *Group)
		from   string
		again  bool
		want   []int
	}{
		{"recursors one after the other", false, nil, "", false, []int{1, 2, 3}},
		{"Consul in the order given", true, nil, "", false, []int{1, 2, 3}},
		{"again and again", false, nil, "", true, []int{1, 2, 3, 1, 2, 3, 1, 2}},
		{"who answered last comes first", false, func(g *Group) { g.Answered(g.Servers[1]) }, "", false, []int{2, 3, 1}},
		{"Consul stays with the order given", true, func(g *Group) { g.Answered(g.Servers[1]) }, "", false, []int{1, 2, 3}},
		{"not one that is down", false, func(g *Group) { g.Servers[0].setDown("test") }, "", false, []int{2, 3}},
		{"none if all are down", false, func(g *Group) {
			for _, u := range g.Servers {
				u.setDown("test")
			}
		}, "", true, nil},
		{"a suspect is asked", false, func(g *Group) { g.Servers[0].state.Store(int32(suspect)) }, "", false, []int{1, 2, 3}},
		{"not one that loops", false, func(g *Group) { g.Servers[1].SetLooping(true) }, "", false, []int{1, 3}},
		{"one that loops for names of its own", true, func(g *Group) { g.OwnNames = true; g.Servers[1].SetLooping(true) }, "", false, []int{1, 2, 3}},
		{"not the host that asks", false, nil, "192.0.2.2", true, []int{1, 3, 1, 3, 1, 3, 1, 3}},
		{"this host may ask its own server", false, func(g *Group) { g.Servers[1].Local = true }, "192.0.2.2", false, []int{1, 2, 3}},
	} {
		g := group(t, 3, test.consul)
		if test.setup != nil {
			test.setup(g)
		}
		if got := order(g, new(Try), test.from, test.again); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestNextWithAllTheServersThereMayBe(t *testing.T) {
	t.Parallel()
	g := group(t, MaxServers, false)
	g.Answered(g.Servers[MaxServers-1])
	got := order(g, new(Try), "", false)
	slices.Sort(got)
	if len(got) != MaxServers || len(slices.Compact(got)) != MaxServers {
		t.Errorf("asked %v", got)
	}
}

func TestSoft(t *testing.T) {
	t.Parallel()
	for rcode := range 16 {
		want := rcode == dns.RcodeServerFailure
		if got := group(t, 1, true).Soft(rcode); got != want {
			t.Errorf("Consul's %s: %v", dns.RcodeToString[rcode], got)
		}
		want = want || rcode == dns.RcodeRefused
		if got := group(t, 1, false).Soft(rcode); got != want {
			t.Errorf("a recursor's %s: %v", dns.RcodeToString[rcode], got)
		}
	}
}

func TestCameFrom(t *testing.T) {
	t.Parallel()
	g := group(t, 2, false)
	one := group(t, 1, false)
	first, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9")
	if !g.CameFrom(first) || g.CameFrom(other) || !g.Serves(first) || one.Serves(first) || !one.Serves(other) {
		t.Error("wrong about who asks whom")
	}
	one.Servers[0].Local = true
	if one.CameFrom(first) || !one.Serves(first) {
		t.Error("a server of this host is taken for the one that asks")
	}
	if !new(Group).Empty() || g.Empty() || new(Group).Serves(other) {
		t.Error("wrong about an empty group")
	}
}
