package device

import (
	"net/netip"
	"testing"

	"golang.zx2c4.com/wireguard/conn"
)

// sent is a Bind that notes from where packets leave.
type sent struct {
	conn.Bind
	from netip.Addr
}

func (s *sent) Send(_ [][]byte, to conn.Endpoint) error { s.from = to.SrcIP(); return nil }

// Packets leave from the address that clients dial while it is this host's; those of the
// other family as ever.
func TestPacketsLeaveFromTheEndpoint(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ address, to, from string }{
		{"127.0.0.1", "192.0.2.7:4711", "127.0.0.1"},
		{"127.0.0.1", "[2001:db8::7]:4711", ""},
		{"192.0.2.1", "192.0.2.7:4711", ""}, // another host has it
		{"", "192.0.2.7:4711", ""},          // clients dial a name
	} {
		inner := &sent{}
		address, _ := netip.ParseAddr(test.address)
		b := &sourceBind{Bind: inner, address: address}
		b.look()
		to := &conn.StdNetEndpoint{AddrPort: netip.MustParseAddrPort(test.to)}
		if err := b.Send(nil, to); err != nil {
			t.Fatal(err)
		}
		if want, _ := netip.ParseAddr(test.from); inner.from != want {
			t.Errorf("dialled %q: what is for %s leaves from %s, want %s", test.address, test.to, inner.from, want)
		}
		if to.SrcIP().IsValid() {
			t.Error("the endpoint itself was changed")
		}
	}
}

// A gateway that stands by sends nothing, and one that has the address does.
func TestNothingLeavesWithoutTheFloatingAddress(t *testing.T) {
	t.Parallel()
	for address, leaves := range map[string]bool{"127.0.0.1": true, "192.0.2.1": false} {
		inner := &counting{}
		b := &sourceBind{Bind: inner, address: netip.MustParseAddr(address), floating: true}
		b.look()
		if err := b.Send(nil, &conn.StdNetEndpoint{AddrPort: netip.MustParseAddrPort("192.0.2.7:4711")}); err != nil {
			t.Fatal(err)
		}
		if (inner.n > 0) != leaves {
			t.Errorf("with the floating address %s, %d packets leave", address, inner.n)
		}
	}
}

// counting counts what it sends.
type counting struct {
	conn.Bind
	n int
}

func (c *counting) Send([][]byte, conn.Endpoint) error { c.n++; return nil }
