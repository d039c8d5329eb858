package test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// droppedByKernel is how many datagrams found the buffer of their socket full, in the network
// namespace of the test.
func droppedByKernel(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/net/snmp")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if fields[0] != "Udp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		n, err := strconv.Atoi(fields[slices.Index(names, "RcvbufErrors")])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	t.Fatal("no counters of UDP")
	return 0
}

// socketDrops counts the datagrams that found the buffers of a server's own sockets full, by socket: those excuse nothing.
type socketDrops map[string]int // by inode

// look notes what there is of the sockets that are bound to an address, and of those that a process has.
func (d socketDrops) look(t testing.TB, listen netip.AddrPort, pid int) {
	t.Helper()
	own := map[string]bool{}
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil {
			if inode, ok := strings.CutPrefix(to, "socket:["); ok {
				own[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	text, err := os.ReadFile("/proc/thread-self/net/udp")
	if err != nil {
		t.Fatal(err)
	}
	a := listen.Addr().As4()
	local := fmt.Sprintf("%02X%02X%02X%02X:%04X", a[3], a[2], a[1], a[0], listen.Port())
	seen := false
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 13 || f[1] != local && !own[f[9]] {
			continue
		}
		n, err := strconv.Atoi(f[12])
		if err != nil {
			t.Fatal(err)
		}
		d[f[9]] = max(d[f[9]], n)
		seen = true
	}
	if !seen {
		t.Fatalf("no socket of the server at %v is in /proc/net/udp", listen)
	}
}

// sum is how many there were.
func (d socketDrops) sum() (n int) {
	for _, drops := range d {
		n += drops
	}
	return n
}
