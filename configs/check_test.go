package configs

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddressesOfThisHost(t *testing.T) {
	const candidates = "10.0.0.5 (eth0), fd00::5 (eth0) or 192.168.7.5 (eth1)"
	for _, test := range []struct{ environ, want string }{
		{"IP=0.0.0.0", `environment: IP="0.0.0.0" stands for every address, so other hosts cannot reach this one by it; set IP to ` + candidates},
		{"IP=127.0.0.1", "is a loopback address"},
		{"IP=::1", "set IP to " + candidates},
		{"IP=172.17.0.1", "is an address of docker0"},
		{"IP=172.18.0.1", "is an address of br-1234"},
		{"IP=224.0.0.1", "is a multicast address"},
		{"HOST_IP=0.0.0.0", "set HOST_IP to " + candidates},
		{"CONSUL_IP=::", "set CONSUL_IP to the address of a Consul agent"},
		{"LISTEN_IP=224.0.0.1", "set LISTEN_IP to 0.0.0.0"},
	} {
		_, err := loadEnv(t, test.environ)
		wantError(t, err, test.want)
	}
	// Clouds translate addresses, so one that no interface holds may be right.
	mustLoadEnv(t, "IP=203.0.113.9")
}

func TestABridgeWithTheDefaultRouteLeadsOutside(t *testing.T) {
	host := testHost()
	host.DefaultInterface = "br-1234"
	loaded, err := Load(Sources{Dir: t.TempDir(), Environ: []string{"IP=172.18.0.1"}, Host: host})
	if err != nil || loaded.Settings.IP != netip.MustParseAddr("172.18.0.1") {
		t.Errorf("IP %s, error %v", loaded.Settings.IP, err)
	}
}

func TestHostWithoutDefaultRoute(t *testing.T) {
	host := HostFacts{Hostname: "lab"}
	load := func(environ ...string) (*Loaded, error) {
		return Load(Sources{Dir: t.TempDir(), Environ: environ, Host: host})
	}
	_, err := load()
	wantError(t, err, "CONSUL_DNS cannot be derived", "set IP", "or CONSUL_DNS", "none was found on its interfaces")

	loaded, err := load("CONSUL_DNS=127.0.0.1")
	if err != nil || loaded.Settings.IP.IsValid() || loaded.Settings.ConsulIP.IsValid() || loaded.Settings.ConsulHTTPAddr != "" {
		t.Errorf("with CONSUL_DNS: %+v, error %v", loaded.Settings, err)
	}
	for _, enough := range []string{"IP=10.0.0.1", "CONSUL_IP=10.0.0.1", "LISTEN_IP=10.0.0.1"} {
		loaded, err := load(enough)
		if err != nil || !slices.Equal(loaded.Settings.ConsulDNS, addrPorts("10.0.0.1:8600")) {
			t.Errorf("with %s: %v, error %v", enough, loaded.Settings.ConsulDNS, err)
		}
	}
	_, err = load("CONSUL_DNS=127.0.0.1", "DNS_MODE=legacy")
	wantError(t, err, `DNS_MODE="legacy" answers with CONSUL_IP, which is not known; set CONSUL_IP or IP`)
	_, err = load("CONSUL_IP=fd00::1", "DNS_MODE=legacy")
	wantError(t, err, "must then be an IPv4 address, not fd00::1")

	host.Hostname = ""
	_, err = load("IP=10.0.0.1")
	wantError(t, err, "HOSTNAME is not known")
	host.Hostname = "bad name"
	_, err = load("IP=10.0.0.1")
	wantError(t, err, `default: HOSTNAME="bad name"`, "set HOSTNAME")
	if n := strings.Count(err.Error(), "\n"); n != 0 {
		t.Errorf("the host's name is reported twice:\n%v", err)
	}
}

func TestConsulIP(t *testing.T) {
	for _, test := range []struct {
		environ []string
		want    string
	}{
		{nil, "10.0.0.5"},
		{[]string{"LISTEN_IP=0.0.0.0"}, "10.0.0.5"},
		{[]string{"LISTEN_IP=::"}, "10.0.0.5"},
		{[]string{"LISTEN_IP=192.168.7.5"}, "192.168.7.5"},
		{[]string{"IP=192.168.7.5"}, "192.168.7.5"},
		{[]string{"LISTEN_IP=192.168.7.5", "CONSUL_IP=10.9.9.9"}, "10.9.9.9"},
	} {
		s := mustLoadEnv(t, test.environ...).Settings
		if s.ConsulIP.String() != test.want || s.ConsulDNS[0].String() != test.want+":8600" || s.ConsulHTTPAddr != test.want+":8500" {
			t.Errorf("%q: CONSUL_IP %s, CONSUL_DNS %s, CONSUL_HTTP_ADDR %s, want %s", test.environ, s.ConsulIP, s.ConsulDNS, s.ConsulHTTPAddr, test.want)
		}
	}
}

func TestDNSListen(t *testing.T) {
	for _, test := range []struct {
		environ []string
		want    []netip.AddrPort
		set     bool
	}{
		{[]string{"DNS_PORT=5353"}, addrPorts("0.0.0.0:5353", "[::]:5353"), false},
		{[]string{"LISTEN_IP=::"}, addrPorts("0.0.0.0:53", "[::]:53"), false},
		{[]string{"LISTEN_IP=192.168.7.5", "DNS_PORT=54"}, addrPorts("192.168.7.5:54"), false},
		{[]string{"LISTEN_IP=192.168.7.5", "DNS_PORT=54", "DNS_LISTEN=10.0.0.5,[::1]:53"}, addrPorts("10.0.0.5:54", "[::1]:53"), true},
	} {
		s := mustLoadEnv(t, test.environ...).Settings
		if !slices.Equal(s.DNSListen, test.want) || s.DNSListenSet != test.set {
			t.Errorf("%q: DNSListen %v (set %v), want %v (%v)", test.environ, s.DNSListen, s.DNSListenSet, test.want, test.set)
		}
	}
}

func TestPeersAskAtPort53(t *testing.T) {
	for _, test := range []struct {
		environ []string
		warned  bool
	}{
		{[]string{"DNS_PORT=5353"}, false},
		{[]string{"TUNNEL_ENDPOINT=vpn.example.com"}, false},
		{[]string{"TUNNEL_ENDPOINT=vpn.example.com", "DNS_PORT=5353"}, true},
	} {
		if got := strings.Join(mustLoadEnv(t, test.environ...).Warnings(), "\n"); strings.Contains(got, "set DNS_PORT=53") != test.warned {
			t.Errorf("%q: %q", test.environ, got)
		}
	}
}

func TestPeersHaveANetworkOfTheirOwn(t *testing.T) {
	for _, environ := range [][]string{{"TUNNEL_CIDR=10.0.0.0/16"}, {"IP=fd00::5", "TUNNEL_CIDR6=fd00::/64"}} {
		_, err := loadEnv(t, append([]string{"TUNNEL_ENDPOINT=vpn.example.com"}, environ...)...)
		wantError(t, err, "this host's own address (IP)")
		mustLoadEnv(t, environ...) // no gateway
	}
}

func TestDNSAllowOnAGateway(t *testing.T) {
	plain := mustLoadEnv(t).Settings.DNSAllow
	s := mustLoadEnv(t, "TUNNEL_ENDPOINT=vpn.example.com", "TUNNEL_CIDR=198.18.0.0/16").Settings
	if diff := cmp.Diff(append(slices.Clone(plain), cidrs("198.18.0.0/16")...), s.DNSAllow, compareNet); diff != "" {
		t.Errorf("IPv4 tunnel (-want +got):\n%s", diff)
	}
	s = mustLoadEnv(t, "TUNNEL_ENDPOINT=vpn.example.com", "TUNNEL_CIDR6=2001:db8::/64").Settings
	if diff := cmp.Diff(append(slices.Clone(plain), cidrs("10.99.0.0/16", "2001:db8::/64")...), s.DNSAllow, compareNet); diff != "" {
		t.Errorf("both tunnels (-want +got):\n%s", diff)
	}
	s = mustLoadEnv(t, "TUNNEL_ENDPOINT=vpn.example.com", "DNS_ALLOW=10.0.0.0/24").Settings
	if diff := cmp.Diff(cidrs("10.0.0.0/24"), s.DNSAllow, compareNet); diff != "" {
		t.Errorf("DNS_ALLOW replaces the default (-want +got):\n%s", diff)
	}
}

func TestTunnelRoutesFollowTheAddressOfTheHost(t *testing.T) {
	if got := mustLoadEnv(t).Settings.TunnelRoutes; !slices.Equal(got, cidrs("10.0.0.0/24")) {
		t.Errorf("the host is 10.0.0.5/24, and peers may reach %v", got)
	}
	if got := mustLoadEnv(t, "IP=10.7.0.1").Settings.TunnelRoutes; len(got) > 0 {
		t.Errorf("no interface holds the address, and peers may reach %v", got)
	}
}

func TestDomainsDoNotOverlap(t *testing.T) {
	for _, test := range []struct {
		environ []string
		want    string // "" for no error
	}{
		{[]string{"HAPROXY_ADD_DOMAIN=consul"}, "is consul or lies under it"},
		{[]string{"HAPROXY_ADD_DOMAIN=.apps.Consul"}, "is consul or lies under it"},
		{[]string{"CONSUL_DOMAIN=c.example", "HAPROXY_ADD_DOMAIN=c.example"}, "is c.example or lies under it"},
		{[]string{"CONSUL_DOMAIN=c.example", "HAPROXY_ADD_DOMAIN=x.c.example"}, "is c.example or lies under it"},
		{[]string{"CONSUL_DOMAIN=c.example", "HAPROXY_ADD_DOMAIN=consul"}, "is consul or lies under it"},
		{[]string{"CONSUL_DOMAIN=c.example", "HAPROXY_ADD_DOMAIN=example"}, ""},
		{[]string{"CONSUL_DOMAIN=c.example", "HAPROXY_ADD_DOMAIN=xc.example"}, ""},
		{[]string{"DNS_ROUTES=consul=10.1.1.1"}, "names in consul always go to Consul"},
		{[]string{"DNS_ROUTES=x.consul=10.1.1.1"}, "names in consul always go to Consul"},
		{[]string{"CONSUL_DOMAIN=c.example", "DNS_ROUTES=a.c.example=10.1.1.1"}, "names in c.example always go to Consul"},
		{[]string{"CONSUL_DOMAIN=c.example", "DNS_ROUTES=example=10.1.1.1"}, ""},
		{[]string{"HAPROXY_ADD_DOMAIN=apps.example", "DNS_ROUTES=apps.example=10.1.1.1"}, "which is HAPROXY_ADD_DOMAIN"},
		{[]string{"HAPROXY_ADD_DOMAIN=apps.example", "DNS_ROUTES=deep.apps.example=10.1.1.1"}, ""},
	} {
		_, err := loadEnv(t, test.environ...)
		if test.want != "" {
			wantError(t, err, test.want)
		} else if err != nil {
			t.Errorf("%q: %v", test.environ, err)
		}
	}
}

func TestServersAreNotThisServer(t *testing.T) {
	for _, test := range []struct {
		environ []string
		want    string
	}{
		{[]string{"DNS_LISTEN=10.0.0.5", "DNS_UPSTREAMS=1.1.1.1,10.0.0.5"}, "DNS_UPSTREAMS=\"1.1.1.1,10.0.0.5\" holds 10.0.0.5:53, where this DNS server itself listens"},
		{[]string{"DNS_LISTEN=10.0.0.5", "CONSUL_DNS=10.0.0.5:53"}, "CONSUL_DNS"},
		{[]string{"LISTEN_IP=10.0.0.5", "DNS_PORT=8600"}, `default: CONSUL_DNS="10.0.0.5:8600" holds 10.0.0.5:8600`},
		{[]string{"LISTEN_IP=10.0.0.5", "DNS_ROUTES=corp=10.0.0.5"}, "sends corp to 10.0.0.5:53, where"},
		{[]string{"DNS_UPSTREAMS=127.0.0.53"}, ""},
	} {
		_, err := loadEnv(t, test.environ...)
		if test.want != "" {
			wantError(t, err, test.want)
		} else if err != nil {
			t.Errorf("%q: %v", test.environ, err)
		}
	}
}
