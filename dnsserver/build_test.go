package dnsserver

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"panteras/configs"
	"panteras/dnsserver/upstream"
)

// host is what a host looks like that has 192.0.2.10 and is its own nameserver.
func host(recursors ...string) facts {
	f := facts{own: map[netip.Addr]bool{loopback: true, netip.MustParseAddr("192.0.2.10"): true, netip.MustParseAddr("2001:db8::10"): true}, file: "/etc/resolv.conf"}
	for _, r := range recursors {
		f.recursors = append(f.recursors, netip.MustParseAddrPort(r))
	}
	return f
}

func buildFor(t *testing.T, f facts, change func(s *configs.Settings)) (*snapshot, []string, error) {
	t.Helper()
	s := testSettings(netip.MustParseAddrPort("0.0.0.0:53"), consulAddr, recAddr)
	s.DNSListen = append(s.DNSListen, netip.MustParseAddrPort("[::]:53"))
	if change != nil {
		change(s)
	}
	return build(s, f, func(a netip.AddrPort, local, consul bool, probe []byte) *upstream.Upstream {
		u := upstream.New(a, local, consul, probe, slog.New(slog.DiscardHandler))
		t.Cleanup(u.Close)
		return u
	})
}

func addrPorts(list ...string) (out []netip.AddrPort) {
	for _, a := range list {
		out = append(out, netip.MustParseAddrPort(a))
	}
	return out
}

// An upstream that is this server itself would send queries round in a circle. The same address with another port is somebody else.
func TestOurOwnSocketIsNoUpstream(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		listen, upstream string
		own              bool
	}{
		{"0.0.0.0:53", "127.0.0.1:53", true},
		{"0.0.0.0:53", "127.0.0.2:53", true},
		{"0.0.0.0:53", "192.0.2.10:53", true},
		{"0.0.0.0:53", "0.0.0.0:53", true},
		{"0.0.0.0:53", "127.0.0.1:8600", false},
		{"0.0.0.0:53", "192.0.2.11:53", false},
		{"0.0.0.0:53", "[2001:db8::10]:53", false},
		{"[::]:53", "[2001:db8::10]:53", true},
		{"[::]:53", "[::1]:53", true},
		{"[::]:53", "192.0.2.10:53", false},
		{"192.0.2.10:53", "192.0.2.10:53", true},
		{"192.0.2.10:53", "127.0.0.1:53", false},
		{"127.0.0.1:1053", "127.0.0.1:1053", true},
		{"127.0.0.1:1053", "127.0.0.1:53", false},
	} {
		for setting, set := range map[string]func(s *configs.Settings, a []netip.AddrPort){
			"DNS_UPSTREAMS": func(s *configs.Settings, a []netip.AddrPort) { s.DNSUpstreams = a },
			"CONSUL_DNS":    func(s *configs.Settings, a []netip.AddrPort) { s.ConsulDNS = a },
			"DNS_ROUTES": func(s *configs.Settings, a []netip.AddrPort) {
				s.DNSRoutes = []configs.DNSRoute{{Suffix: "corp.example", Upstreams: a}}
			},
		} {
			_, _, err := buildFor(t, host(), func(s *configs.Settings) {
				s.DNSListen = addrPorts(test.listen)
				set(s, addrPorts(test.upstream))
			})
			if (err != nil) != test.own {
				t.Errorf("listening on %s, %s=%s: %v", test.listen, setting, test.upstream, err)
			}
			if err != nil && (!strings.Contains(err.Error(), setting) || !strings.Contains(err.Error(), test.upstream)) {
				t.Errorf("%v: wanted %s and %s in it", err, setting, test.upstream)
			}
		}
	}
}

// resolv.conf names us on every host that uses us: that is no error, but we are not our own recursor.
func TestRecursorsOfTheHost(t *testing.T) {
	t.Parallel()
	follow := func(s *configs.Settings) { s.DNSUpstreams = nil }
	for _, test := range []struct {
		recursors []string
		want      string
		warning   bool
	}{
		{[]string{"192.0.2.54:53"}, "[192.0.2.54:53]", false},
		{[]string{"127.0.0.1:53", "192.0.2.54:53", "192.0.2.54:53"}, "[192.0.2.54:53]", false},
		{[]string{"127.0.0.1:53"}, "[]", true},
		{nil, "[]", true},
	} {
		snap, warnings, err := buildFor(t, host(test.recursors...), follow)
		if err != nil {
			t.Fatal(err)
		}
		var got []netip.AddrPort
		for _, u := range snap.targets[0].stages[0].group.Servers {
			got = append(got, u.Addr)
		}
		if fmt.Sprint(got) != test.want || (len(warnings) > 0) != test.warning {
			t.Errorf("%v: %v, warnings %q", test.recursors, got, warnings)
		}
		if test.warning && !strings.Contains(warnings[0], "/etc/resolv.conf") {
			t.Errorf("the warning does not name the file: %s", warnings[0])
		}
	}
}

func TestBuildRefusesTwoRoutesForOneDomain(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(s *configs.Settings){
		"the Consul domain": func(s *configs.Settings) {
			s.DNSRoutes = []configs.DNSRoute{{Suffix: "consul", Upstreams: addrPorts("192.0.2.55:53")}}
		},
		"the added domain": func(s *configs.Settings) {
			s.DNSRoutes = []configs.DNSRoute{{Suffix: "acme.test", Upstreams: addrPorts("192.0.2.55:53")}}
		},
		"the added one is the Consul domain": func(s *configs.Settings) { s.HAProxyAddDomain = "consul" },
	} {
		if _, _, err := buildFor(t, host(), change); err == nil || !strings.Contains(err.Error(), "two routes") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := buildFor(t, host(), func(s *configs.Settings) {
		s.DNSRoutes = []configs.DNSRoute{{Suffix: "10.in-addr.arpa", Upstreams: addrPorts("192.0.2.55:53")}} // wins over the empty zone
	}); err != nil {
		t.Error(err)
	}
}

func TestTooManyServersAreToldAbout(t *testing.T) {
	t.Parallel()
	snap, warnings, err := buildFor(t, host(), func(s *configs.Settings) {
		s.DNSUpstreams = nil
		for i := range upstream.MaxServers + 1 {
			s.DNSUpstreams = append(s.DNSUpstreams, netip.MustParseAddrPort(fmt.Sprintf("192.0.2.%d:53", 100+i)))
		}
	})
	if err != nil || len(warnings) != 1 || len(snap.targets[0].stages[0].group.Servers) != upstream.MaxServers {
		t.Errorf("%v, warnings %q", err, warnings)
	}
}

// A Consul on this host is asked for 64 KiB over UDP; what is local is told by the addresses.
func TestLocalServers(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{"127.0.0.1:8600": true, "192.0.2.10:8600": true, "[::1]:8600": true, "[2001:db8::10]:8600": true, "192.0.2.53:8600": false} {
		snap, _, err := buildFor(t, host(), func(s *configs.Settings) { s.ConsulDNS = addrPorts(addr) })
		if err != nil {
			t.Fatal(err)
		}
		name := wireName("web.service.consul")
		if got := snap.targets[snap.routes.Lookup(name).Target].stages[0].group.Servers[0].Local; got != want {
			t.Errorf("%s: local %v", addr, got)
		}
	}
}
