package test

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The system clock is the whole machine's: no namespace has one of its own, and what a
// static program reads cannot be replaced from outside. So these tests build panteras
// with a package time whose Now adds what a file says. Timers use the monotonic clock,
// which nobody can set, in that program as in any other.

// clockFile holds by how many seconds the clock is wrong, as 64 bits, little endian. It
// must be there when a program starts.
const clockFile = "/run/panteras-test-clock"

// clockSource is a file for package time. The memory is mapped, because Now must not
// make system calls where the scheduler calls it.
const clockSource = `package time

import "syscall"

var testClockPage = func() []byte {
	fd, err := syscall.Open("` + clockFile + `", syscall.O_RDONLY, 0)
	if err != nil {
		return make([]byte, 8)
	}
	defer syscall.Close(fd)
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	return page
}()

func testClock() (seconds int64) {
	if testClockPage == nil {
		return 0 // other packages are not ready yet
	}
	for i, b := range testClockPage[:8] {
		seconds |= int64(b) << (8 * i)
	}
	return seconds
}
`

// clocked is panteras with a clock that setClock sets.
func clocked(t testing.TB) string {
	t.Helper()
	output, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(output)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	const read = "sec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(text), read) != 1 {
		t.Fatalf("%s does not read the clock as it did: look for %q", original, read)
	}
	dir := t.TempDir()
	changed, added, overlay := filepath.Join(dir, "time.go"), filepath.Join(dir, "testclock.go"), filepath.Join(dir, "overlay.json")
	put(t, changed, strings.Replace(string(text), read, read+"\tsec += testClock()\n", 1))
	put(t, added, clockSource)
	list, err := json.Marshal(map[string]map[string]string{"Replace": {
		original: changed, filepath.Join(filepath.Dir(original), "testclock.go"): added,
	}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, overlay, string(list))
	return build(t, "panteras-clocked", "./cmd/panteras", "-overlay", overlay)
}

// setClock moves the clock of programs that clocked built, in this mount namespace, by
// so much from the true time.
func setClock(t testing.TB, by time.Duration) {
	t.Helper()
	file, err := os.OpenFile(clockFile, os.O_CREATE|os.O_WRONLY, 0o644) // in place, because it is mapped
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := binary.Write(file, binary.LittleEndian, int64(by/time.Second)); err != nil {
		t.Fatal(err)
	}
}
