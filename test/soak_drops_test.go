package test

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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

// droppedAt is how many datagrams found the buffers of some sockets full. They are of the network namespace of the test.
func droppedAt(t testing.TB, sockets []*soakSocket) (n int) {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/net/udp")
	if err != nil {
		t.Fatal(err)
	}
	drops := map[string]string{} // by inode
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 13 {
			drops[f[9]] = f[12]
		}
	}
	for _, s := range sockets {
		raw, err := s.conn.SyscallConn()
		var stat unix.Stat_t
		if err == nil {
			if controlErr := raw.Control(func(fd uintptr) { err = unix.Fstat(int(fd), &stat) }); err == nil {
				err = controlErr
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		dropped, err := strconv.Atoi(drops[strconv.FormatUint(stat.Ino, 10)])
		if err != nil {
			t.Fatalf("a socket of the test's own is not in /proc/net/udp: %v", err)
		}
		n += dropped
	}
	return n
}
