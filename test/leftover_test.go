package test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain looks, when all is done, for what tests must not leave behind: processes,
// mounts, and files where temporary ones are.
func TestMain(m *testing.M) {
	if task, ok := os.LookupEnv(abuserEnv); ok {
		if err := runAbuser(task); err != nil {
			fmt.Fprintln(os.Stderr, "an abuser:", err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	if atOnce := flag.Lookup("test.parallel"); atOnce.Value.String() == atOnce.DefValue {
		// They wait for daemons and protocols most of the time, and seldom for a processor.
		_ = flag.Set("test.parallel", strconv.Itoa(perProcessor*runtime.GOMAXPROCS(0)))
	}
	temp, err := os.MkdirTemp("", "panteras-test-")
	if err == nil {
		err = os.Setenv("TMPDIR", temp) // others use the usual one at the same time
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
	if err := os.Mkdir(filepath.Join(temp, programs), 0o755); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
	before := leftovers()
	code := m.Run()
	var left []string
	for range 100 { // a process that was killed may take a moment to go
		left = slices.DeleteFunc(leftovers(), func(what string) bool { return slices.Contains(before, what) })
		if len(left) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond) // not in a test: the last of them is over
	}
	if len(left) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: the tests left behind:\n%s\n", strings.Join(left, "\n"))
		code = 1
	}
	if err := os.RemoveAll(temp); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		code = 1
	}
	os.Exit(code)
}

// perProcessor is how many tests of hosts run at once on each processor.
const perProcessor = 2

// The process's first thread stays with the main goroutine: a test that enters namespaces ends its thread, and that one cannot end.
func init() { runtime.LockOSThread() }

// leftovers lists what there is that could be one.
func leftovers() (found []string) {
	own := fmt.Sprintf("%d", os.Getpid())
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == own {
			found = append(found, "process: "+strings.TrimSpace(string(stat)[:strings.Index(string(stat), ") ")+1]))
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, os.TempDir()) {
			found = append(found, "mount: "+strings.TrimSpace(line))
		}
	}
	files, _ := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	return append(found, files...)
}
