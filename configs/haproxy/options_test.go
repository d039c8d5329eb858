package haproxy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"panteras/configs"
)

// TestOptionsOf: what the settings of a host mean for its HAProxy.
func TestOptionsOf(t *testing.T) {
	var s configs.Settings
	s.IP, s.HostIP, s.KeepalivedVIP = netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("192.0.2.5"), netip.MustParseAddr("fd00::9")
	s.Hostname, s.FQDN, s.ConsulDomain, s.HAProxyAddDomain = "Node1", "node1.Corp.example", "corp.example", "my.own.domain.com"
	s.HAProxyHTTPPort, s.HAProxyStatsPort, s.DNSPort, s.StatusListen = 8880, 8881, 5353, netip.MustParseAddrPort("127.0.0.1:9999")
	s.RunDir, s.StartConsul, s.ConsulServer, s.StartMarathon = "/run/p", true, true, true
	o := OptionsOf(&s, []string{"root", "haproxy"})
	if o.User != "haproxy" || OptionsOf(&s, nil).User != "" {
		t.Errorf("the user is %q", o.User)
	}
	if o.Listen != netip.IPv4Unspecified() || o.Socket != "/run/p/haproxy/admin.sock" {
		t.Errorf("it listens on %s and takes commands at %s", o.Listen, o.Socket)
	}
	want := []string{"localhost", "127.0.0.1", "[::1]", "node1", "node1.corp.example", "10.0.0.5", "192.0.2.5", "[fd00::9]"}
	if !slices.Equal(o.Hosts, want) {
		t.Errorf("names of the host: %q", o.Hosts)
	}
	var links []string
	for _, l := range o.Links {
		links = append(links, l.Name)
	}
	if got := strings.Join(links, " "); got != "Consul Marathon HAProxy Status" {
		t.Errorf("links to %s", got)
	}
	for _, port := range []uint16{22, 53, 80, 81, 2181, 5050, 5353, 8080, 8300, 8500, 8600, 8880, 8881, 9999, 31000, 31999} {
		if _, held := o.holder(port); !held {
			t.Errorf("a service may have port %d", port)
		}
	}
	for _, port := range []uint16{1, 79, 82, 6000, 30999, 32001, 65535} {
		if who, held := o.holder(port); held {
			t.Errorf("port %d belongs to %s", port, who)
		}
	}
}

// TestListen: everything listens on LISTEN_IP, and on the floating address where that is
// another one.
func TestListen(t *testing.T) {
	for _, c := range []struct{ listen, vip, want string }{
		{"10.0.0.5", "", "10.0.0.5:%"},
		{"10.0.0.5", "10.0.0.9", "10.0.0.5:% 10.0.0.9:% transparent"},
		{"10.0.0.5", "10.0.0.5", "10.0.0.5:%"},
		{"0.0.0.0", "10.0.0.9", "0.0.0.0:%"},
		{"::", "fd00::9", ":::% v4v6"},
		{"fd00::5", "fd00::9", "fd00::5:% fd00::9:% transparent"},
	} {
		o := testOptions()
		o.Listen, o.VIP = netip.MustParseAddr(c.listen), netip.Addr{}
		if c.vip != "" {
			o.VIP = netip.MustParseAddr(c.vip)
		}
		config := Render(snapshot(instance("db", "a", 1001, "haproxy_tcp=7000")), o, nil)
		var got []string
		for line := range strings.Lines(config.Files[ConfigFile]) {
			if address, ok := strings.CutPrefix(strings.TrimSpace(line), "bind "); ok {
				got = append(got, address)
			}
		}
		var want []string
		for _, port := range []string{"81", "80", "7000"} { // statistics, services, the service's own
			want = append(want, strings.ReplaceAll(c.want, "%", port))
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("LISTEN_IP=%s KEEPALIVED_VIP=%s: %q, not %q", c.listen, c.vip, got, want)
		}
	}
}

// TestFindings: what has no effect is said, of whom, and what to do.
func TestFindings(t *testing.T) {
	nowhere := instance("far", "far", 1001, "haproxy")
	nowhere.Address = "a.host"
	portless := instance("none", "none", 0, "haproxy")
	s := snapshot(
		nowhere, portless, instance("alone", "alone", 1002, "haproxy_route=/x"), instance("Web", "a", 1003, "haproxy"), instance("web", "b", 1004, "haproxy"),
		instance("Node1", "n", 1005, "haproxy"),
		instance("checked", "c", 1006, "haproxy", "haproxy_httpchk=GET /b"), instance("checked", "d", 1007, "haproxy", "haproxy_httpchk=GET /a"),
	)
	s.Maxconn = map[string]string{"web/maxconn": "many", "checked/maxconn": " 0\n"}
	o := testOptions()
	o.Hosts = append(o.Hosts, "node1.service.consul")
	c := Render(s, o, nil)
	for _, want := range []string{
		"far: instance \"far\" is not served: its address \"a.host\" is not an IP address\n",
		"none: instance \"none\" is not served: it has no port (0)\n",
		"alone: haproxy_route has no effect without the tag haproxy\n",
		"web: does not get host web.service.consul: Web has it; choose another\n",
		"Node1: node1.service.consul is a name of this host, and stays one\n",
		"checked: instances have different haproxy_httpchk; \"GET /a\" is used for all\n",
		"web: haproxy/web/maxconn is \"many\" in Consul's KV store: write a number from 0 to 1000000; 128 is used\n",
	} {
		if !strings.Contains(messages(c.Report), want) {
			t.Errorf("nothing says %q in\n%s", want, messages(c.Report))
		}
	}
	if c.Hosts["web.service.consul"] != "backend_Web" || c.Hosts["node1.service.consul"] != "" || c.Hosts["node1.service"] != "backend_Node1" {
		t.Errorf("hosts: %v", c.Hosts)
	}
	for _, b := range c.Report.Backends {
		if b.Name == "backend_checked" && (b.Servers[0].Maxconn != 0 || b.Check != "GET /a") {
			t.Errorf("%+v", b)
		}
	}
	check(t, c)
}
