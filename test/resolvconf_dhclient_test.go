package test

import (
	"path/filepath"
	"strings"
	"testing"

	"panteras/internal/lab"
)

// Debian's dhclient-script gets what leases say, with the hooks of its package: the servers
// that DHCP names are the recursors, and resolv.conf stays ours.
func TestResolvConfOfDhclient(t *testing.T) {
	t.Parallel()
	r := newResolving(t)
	client := lab.Built(t, "dhclient")
	r.run(t, "cp", "-a", filepath.Join(client, "etc", "dhcp"), "/etc/")
	r.do(t, func() {
		put(t, "/etc/fstab", "") // it looks there whether / can be written to
		put(t, "/etc/resolv.conf", "")
	})
	lease := func(what ...string) {
		t.Helper()
		env := append([]string{"interface=eth0", "new_domain_name=corp.example", "old_ip_address=" + ownIP, "new_ip_address=" + ownIP, "new_subnet_mask=255.255.255.0"}, what...)
		if out, err := r.try(t, env, filepath.Join(client, "sbin", "dhclient-script")); err != nil {
			t.Fatalf("dhclient-script with %q: %v\n%s", what, err, out)
		}
	}
	lease("reason=BOUND", "new_domain_name_servers=127.0.0.78")
	before := r.files(t)
	wantText(t, "resolv.conf", before, "nameserver 127.0.0.78\n", "search corp.example\n")

	r.serveNames(t)
	r.must(t, "install")
	ours := r.run(t, "cat", "/etc/resolv.conf")
	wantText(t, "resolv.conf", ours, "\nnameserver "+ownIP+"\n", "search corp.example\n")
	wantFiles := func(what, recursors string) {
		t.Helper()
		if got := r.run(t, "cat", "/etc/resolv.conf.orig"); got != recursors {
			t.Errorf("%s: the recursors are\n%s\nwant\n%s", what, got, recursors)
		}
		if got := r.run(t, "cat", "/etc/resolv.conf"); got != ours {
			t.Errorf("%s: resolv.conf is\n%s\nwant\n%s", what, got, ours)
		}
	}
	lease("reason=BOUND6", "new_ip6_address=2001:db8::1/64", "new_max_life=60", "new_preferred_life=60", "new_ip_address=", "new_domain_name=", "new_dhcp6_name_servers=fe80::53 2001:db8::53")
	wantFiles("DHCPv6", "nameserver fe80::53%eth0\nnameserver 2001:db8::53\n")
	lease("reason=RENEW", "new_domain_name_servers=127.0.0.79 127.0.0.77")
	wantFiles("a renewal", "nameserver 127.0.0.79\nnameserver 127.0.0.77\n")
	r.resolves(t, ownIP)
	lease("reason=RENEW") // which names no server
	wantFiles("a renewal without servers", "nameserver 127.0.0.79\nnameserver 127.0.0.77\n")
	if out := r.must(t, "install"); !strings.Contains(out, "nothing had to be changed") {
		t.Errorf("the second time: %s", out)
	}

	r.must(t, "restore")
	if got := r.files(t); got != before {
		t.Errorf("restored:\n%s\nwant:\n%s", got, before)
	}
	lease("reason=RENEW", "new_domain_name_servers=127.0.0.77")
	wantText(t, "resolv.conf of who is asked no more", r.files(t), "nameserver 127.0.0.77\n")
}
