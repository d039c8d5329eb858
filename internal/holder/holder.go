// Package holder finds out which process keeps an address from being bound.
package holder

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Holder is a socket that keeps an address from being bound.
type Holder struct {
	Addr netip.AddrPort
	// Name and PID are the process; empty and 0 where it cannot be seen (another PID namespace, no right).
	Name string
	PID  int
}

func (h Holder) String() string {
	if h.PID == 0 {
		return fmt.Sprintf("a process that cannot be seen from here (%s)", h.Addr)
	}
	return fmt.Sprintf("%s (pid %d, %s)", h.Name, h.PID, h.Addr)
}

// Find lists the sockets of this network namespace that keep addr from being bound for "udp" or "tcp".
func Find(addr netip.AddrPort, network string) []Holder {
	found := find(addr, network)
	unseen := func(h Holder) bool { return h.PID == 0 }
	if !slices.ContainsFunc(found, unseen) {
		return found
	}
	// Whose process cannot be seen may have been closed while we looked.
	again := find(addr, network)
	return slices.DeleteFunc(found, func(h Holder) bool { return unseen(h) && !slices.Contains(again, h) })
}

func find(addr netip.AddrPort, network string) []Holder {
	var found []Holder
	inodes := map[string]int{}
	for _, suffix := range []string{"", "6"} {
		f, err := os.Open("/proc/net/" + network + suffix)
		if err != nil {
			continue
		}
		sc := bufio.NewScanner(f)
		for sc.Scan() {
			if a, inode, ok := parseSocketLine(sc.Text(), network); ok && conflicts(a, addr, suffix == "6") {
				inodes["socket:["+inode+"]"] = len(found)
				found = append(found, Holder{Addr: a})
			}
		}
		f.Close()
	}
	if len(found) > 0 {
		nameProcesses(found, inodes)
	}
	// Our own sockets on [::] hold no IPv4 address: dnsserver/listen makes them for IPv6 only.
	found = slices.DeleteFunc(found, func(h Holder) bool {
		return h.PID == os.Getpid() && addr.Addr().Is4() && h.Addr.Addr() == netip.IPv6Unspecified()
	})
	return dedupe(found)
}

// conflicts says whether a socket bound to a keeps b from being bound. A socket on [::] may hold IPv4 as well.
func conflicts(a, b netip.AddrPort, dual bool) bool {
	if a.Port() != b.Port() {
		return false
	}
	if a.Addr() == b.Addr() {
		return true
	}
	same := a.Addr().Is4() == b.Addr().Is4()
	if a.Addr().IsUnspecified() {
		return same || dual
	}
	return b.Addr().IsUnspecified() && same
}

// parseSocketLine reads one line of /proc/net/{udp,tcp}[6] (proc(5)).
func parseSocketLine(line, network string) (a netip.AddrPort, inode string, ok bool) {
	f := strings.Fields(line)
	const listening = "0A"
	if len(f) < 10 || (network == "tcp" && f[3] != listening) {
		return a, "", false
	}
	host, port, ok := strings.Cut(f[1], ":")
	b, err := hex.DecodeString(host)
	p, perr := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || perr != nil || len(b)%4 != 0 {
		return a, "", false
	}
	for i := 0; i < len(b); i += 4 { // words in the host's byte order, which is little-endian wherever we run
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	ip, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(ip.Unmap(), uint16(p)), f[9], ok
}

// nameProcesses finds which processes have the sockets open. One that this process has as
// well was handed over, and is its own, whoever else has it.
func nameProcesses(found []Holder, inodes map[string]int) {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range ownFirst(links, os.Getpid()) {
		target, err := os.Readlink(link)
		if err != nil {
			continue
		}
		i, ok := inodes[target]
		if !ok || found[i].PID != 0 {
			continue
		}
		pid := strings.Split(link, "/")[2]
		comm, _ := os.ReadFile("/proc/" + pid + "/comm")
		found[i].Name = strings.TrimSpace(string(comm))
		found[i].PID, _ = strconv.Atoi(pid)
	}
}

// ownFirst puts the descriptors of a process before those of all others.
func ownFirst(links []string, pid int) []string {
	own := fmt.Sprintf("/proc/%d/", pid)
	slices.SortStableFunc(links, func(a, b string) int {
		switch x, y := strings.HasPrefix(a, own), strings.HasPrefix(b, own); {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
	return links
}

func dedupe(list []Holder) (out []Holder) {
	seen := map[Holder]bool{}
	for _, h := range list {
		if !seen[h] {
			seen[h] = true
			out = append(out, h)
		}
	}
	return out
}
