package holder

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestParseSocketLine(t *testing.T) {
	t.Parallel()
	const rest = " 00000000:00000000 00:00000000 00000000     0        0 12345 2 0000000000000000 0"
	for _, test := range []struct {
		name, line, network, want string
	}{
		{"heading", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", "udp", ""},
		{"UDP", "  100: 0100007F:0035 00000000:0000 07" + rest, "udp", "127.0.0.1:53"},
		{"UDP on all addresses", "  100: 00000000:0035 00000000:0000 07" + rest, "udp", "0.0.0.0:53"},
		{"IPv6", "  100: B80D0120000000000000000001000000:0035 00000000000000000000000000000000:0000 07" + rest, "udp", "[2001:db8::1]:53"},
		{"IPv4 in IPv6", "  100: 0000000000000000FFFF00000100007F:0035 00000000000000000000000000000000:0000 07" + rest, "udp", "127.0.0.1:53"},
		{"a listener", "    0: 0100007F:1F40 00000000:0000 0A" + rest, "tcp", "127.0.0.1:8000"},
		{"a connection", "    0: 0100007F:1F40 0100007F:1F41 01" + rest, "tcp", ""},
		{"no port", "    0: 0100007F 00000000:0000 0A" + rest, "tcp", ""},
		{"no address", "    0: 01:1F40 00000000:0000 0A" + rest, "tcp", ""},
		{"no number", "    0: 0100007X:1F40 00000000:0000 0A" + rest, "tcp", ""},
		{"a port too large", "    0: 0100007F:1F400 00000000:0000 0A" + rest, "tcp", ""},
		{"cut", "    0: 0100007F:1F40 00000000:0000 0A", "tcp", ""},
		{"empty", "", "udp", ""},
	} {
		a, inode, ok := parseSocketLine(test.line, test.network)
		if ok != (test.want != "") {
			t.Errorf("%s: %v, %v", test.name, a, ok)
		} else if ok && (a.String() != test.want || inode != "12345") {
			t.Errorf("%s: %s, inode %s", test.name, a, inode)
		}
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		dual bool
		want bool
	}{
		{"127.0.0.1:53", "127.0.0.1:53", false, true},
		{"127.0.0.1:53", "127.0.0.1:54", false, false},
		{"127.0.0.1:53", "127.0.0.2:53", false, false},
		{"0.0.0.0:53", "127.0.0.2:53", false, true},
		{"127.0.0.2:53", "0.0.0.0:53", false, true},
		{"[::]:53", "127.0.0.2:53", true, true},
		{"[::1]:53", "0.0.0.0:53", true, false},
		{"[::1]:53", "[::]:53", true, true},
		{"127.0.0.1:53", "[::]:53", false, false},
		{"0.0.0.0:53", "[::1]:53", false, false},
	} {
		if got := conflicts(netip.MustParseAddrPort(test.a), netip.MustParseAddrPort(test.b), test.dual); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

func TestHoldersAreToldInWords(t *testing.T) {
	t.Parallel()
	a := netip.MustParseAddrPort("127.0.0.53:53")
	if got := (Holder{a, "systemd-resolve", 42}).String(); got != "systemd-resolve (pid 42, 127.0.0.53:53)" {
		t.Error(got)
	}
	if got := (Holder{Addr: a}).String(); !strings.Contains(got, "cannot be seen") || !strings.Contains(got, a.String()) {
		t.Error(got)
	}
}

func TestOwnDescriptorsComeFirst(t *testing.T) {
	t.Parallel()
	links := ownFirst([]string{"/proc/120/fd/3", "/proc/20/fd/9", "/proc/20/fd/4", "/proc/3/fd/1"}, 20)
	want := []string{"/proc/20/fd/9", "/proc/20/fd/4", "/proc/120/fd/3", "/proc/3/fd/1"}
	if !slices.Equal(links, want) {
		t.Errorf("%q, want %q", links, want)
	}
}
