package dnsserver

import (
	"fmt"
	"net/netip"
	"os"
	"sort"
	"strings"
	"testing"

	"panteras/configs"
)

// known lists local names in words.
func known(names map[string]*localName) string {
	var list []string
	for name, n := range names {
		list = append(list, fmt.Sprintf("%s %v", presentation(name), append(fmtAddrs(n.addrs), n.ptr...)))
	}
	sort.Strings(list)
	return strings.Join(list, "\n")
}

func fmtAddrs(addrs []netip.Addr) (list []string) {
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return list
}

func TestLocalNames(t *testing.T) {
	t.Parallel()
	s := &configs.Settings{IP: netip.MustParseAddr("192.0.2.10"), Hostname: "Node1", FQDN: "node1.acme.test"}
	for _, test := range []struct {
		name, hosts, want string
	}{
		{"nothing", "", ""},
		{"an address with aliases", "10.0.0.1 db.example DB2\n", "1.0.0.10.in-addr.arpa. [db.example.]\ndb.example. [10.0.0.1]\ndb2. [10.0.0.1]"},
		{"IPv6", "2001:db8::1 six # comment", "1." + strings.Repeat("0.", 23) + "8.b.d.0.1.0.0.2.ip6.arpa. [six.]\nsix. [2001:db8::1]"},
		{"two addresses of a name", "10.0.0.1 db\n10.0.0.2 db\n", "1.0.0.10.in-addr.arpa. [db.]\n2.0.0.10.in-addr.arpa. [db.]\ndb. [10.0.0.1 10.0.0.2]"},
		{"two names of an address, on two lines", "10.0.0.1 a\n10.0.0.1 b\n", "1.0.0.10.in-addr.arpa. [a.]\na. [10.0.0.1]\nb. [10.0.0.1]"},
		{"Debian's line for the host itself", "127.0.1.1 node1.acme.test node1\n", ""},
		{"nonsense", "x y\n10.0.0.1\n10.0.0.300 a\n\n  # 10.0.0.1 b\n10.0.0.1 " + strings.Repeat("a", 64) + " a..b 1.2.3.4 " + `back\slash` + "\n", ""},
		{"localhost has rules of its own", "127.0.0.1 localhost\n", "1.0.0.127.in-addr.arpa. [localhost.]"},
	} {
		own := "10.2.0.192.in-addr.arpa. [node1.acme.test.]\nnode1. [192.0.2.10]\nnode1.acme.test. [192.0.2.10]"
		want := strings.Split(own, "\n")
		if test.want != "" {
			want = append(want, strings.Split(test.want, "\n")...)
		}
		sort.Strings(want)
		if got := known(localNames(s, []byte(test.hosts))); got != strings.Join(want, "\n") {
			t.Errorf("%s: got\n%s\nwant\n%s", test.name, got, strings.Join(want, "\n"))
		}
	}
}

func TestLocalNamesWithoutAnAddress(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*configs.Settings{
		"no address":                 {Hostname: "node1", FQDN: "node1.acme.test"},
		"no name":                    {IP: netip.MustParseAddr("192.0.2.10")},
		"an address for a host name": {IP: netip.MustParseAddr("192.0.2.10"), Hostname: "192.0.2.10", FQDN: "192.0.2.10"},
	} {
		if got := known(localNames(s, nil)); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestReadRecursors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"nothing there", nil, "[] /etc/resolv.conf"},
		{"as usual", map[string]string{resolvConf: "# c\nsearch acme.test\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 \noptions rotate\n nameserver 192.0.2.3"}, "[192.0.2.1:53 [2001:db8::1]:53 192.0.2.3:53] /etc/resolv.conf"},
		{"nonsense", map[string]string{resolvConf: "nameserver\nnameserver x\n#nameserver 192.0.2.9\nnameservers 192.0.2.9\nnameserver 192.0.2.1 # c"}, "[192.0.2.1:53] /etc/resolv.conf"},
		{"link-local", map[string]string{resolvConf: "nameserver fe80::1%eth0"}, "[[fe80::1%eth0]:53] /etc/resolv.conf"},
		{"the copy wins", map[string]string{resolvConf: "nameserver 127.0.0.1", resolvCopy: "nameserver 192.0.2.2"}, "[192.0.2.2:53] /etc/resolv.conf.orig"},
		{"systemd-resolved", map[string]string{resolvConf: "nameserver 127.0.0.53", resolvSystemd: "nameserver 192.0.2.3"}, "[192.0.2.3:53] /run/systemd/resolve/resolv.conf"},
		{"systemd-resolved in the copy", map[string]string{resolvCopy: "nameserver 127.0.0.54", resolvSystemd: "nameserver 192.0.2.3"}, "[192.0.2.3:53] /run/systemd/resolve/resolv.conf"},
		{"a stub and no file of its own", map[string]string{resolvConf: "nameserver 127.0.0.53\nnameserver 192.0.2.4"}, "[192.0.2.4:53] /etc/resolv.conf"},
		{"a stub without a file, and nobody else", map[string]string{resolvConf: "nameserver 127.0.0.53"}, "[] /run/systemd/resolve/resolv.conf"},
		{"the stub in its own file", map[string]string{resolvConf: "nameserver 127.0.0.53", resolvSystemd: "nameserver 127.0.0.53\nnameserver 192.0.2.3"}, "[192.0.2.3:53] /run/systemd/resolve/resolv.conf"},
	} {
		servers, file, _ := readRecursors(func(path string) ([]byte, error) {
			if text, ok := test.files[path]; ok {
				return []byte(text), nil
			}
			return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
		})
		if got := fmt.Sprint(servers, " ", file); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestPrivate(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"10.1.1.1": true, "172.16.0.1": true, "192.168.1.1": true, "127.0.0.1": true, "169.254.1.1": true, "0.0.0.0": true, "100.64.0.1": true, "fc00::1": true, "fe80::1": true, "::1": true, "::": true,
		"192.0.2.1": false, "100.128.0.1": false, "172.32.0.1": false, "2001:db8::1": false,
	} {
		if got := private(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}
