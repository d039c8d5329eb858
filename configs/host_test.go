package configs

import (
	"slices"
	"testing"
)

func TestDefaultRoute(t *testing.T) {
	const header = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	for _, test := range []struct{ name, text, want string }{
		{"none", header, ""},
		{"empty", "", ""},
		{"one", header + "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", "eth0"},
		{"lowest metric", header + "wlan0\t00000000\t0100000A\t0003\t0\t0\t600\t00000000\t0\t0\t0\neth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n", "eth0"},
		{"half of everything", header + "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n", ""},
		{"rejected", header + "*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n", ""},
		{"down", header + "eth0\t00000000\t0100000A\t0002\t0\t0\t0\t00000000\t0\t0\t0\n", ""},
	} {
		if got := defaultRoute(test.text); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestDefaultRoute6(t *testing.T) {
	const zero, gateway = "00000000000000000000000000000000", "fe800000000000000000000000000001"
	for _, test := range []struct{ name, text, want string }{
		{"one", zero + " 00 " + zero + " 00 " + gateway + " 00000400 00000001 00000000 00450003     eth0\n", "eth0"},
		{"only the reject route of lo", zero + " 00 " + zero + " 00 " + zero + " ffffffff 00000001 00000000 00200200       lo\n", ""},
		{"lowest metric", zero + " 00 " + zero + " 00 " + gateway + " 00000400 00000001 00000000 00000003 wlan0\n" +
			zero + " 00 " + zero + " 00 " + gateway + " 00000064 00000001 00000000 00000003 eth0\n", "eth0"},
		{"not default", "fd" + zero[2:] + " 40 " + zero + " 00 " + zero + " 00000100 00000001 00000000 00000001 eth0\n", ""},
	} {
		if got := defaultRoute6(test.text); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestDefaultAddr(t *testing.T) {
	host := testHost()
	if got := host.defaultAddr().String(); got != "10.0.0.5" {
		t.Errorf("IPv4: %s", got)
	}
	host.DefaultInterface, host.DefaultInterface6 = "", "eth0"
	if got := host.defaultAddr().String(); got != "fd00::5" {
		t.Errorf("IPv6: %s, want the address that is not link-local", got)
	}
	if got := (HostFacts{}).defaultAddr(); got.IsValid() {
		t.Errorf("nothing known: %s", got)
	}
}

func TestQualify(t *testing.T) {
	for _, test := range []struct{ name, hosts, host, want string }{
		{"beside it", "10.0.0.5 node1.example.com node1", "node1", "node1.example.com"},
		{"after it", "10.0.0.5 node1 node1.example.com", "node1", "node1.example.com"},
		{"another case", "10.0.0.5 Node1.example.com NODE1", "node1", "Node1.example.com"},
		{"in a comment", "10.0.0.5 node2 # node1.example.com node1", "node1", ""},
		{"another host", "10.0.0.6 node2.example.com node2", "node1", ""},
		{"a later line", "127.0.1.1 node1\n10.0.0.5 node1.example.com node1", "node1", "node1.example.com"},
		{"localhost is no name of a host", "127.0.0.1 localhost.localdomain localhost node1", "node1", ""},
		{"an address is no name", "10.0.0.5 node1", "10.0.0.5", ""},
	} {
		if got, _ := qualify(test.hosts, test.host); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestReadHost(t *testing.T) {
	facts, err := ReadHost()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(facts.Users, "root") {
		t.Errorf("root is not among the users: %q", facts.Users)
	}
	if facts.Hostname == "" || len(facts.Interfaces) == 0 {
		t.Errorf("this host has no name or no interface: %+v", facts)
	}
}
