package proc

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"

	"go.uber.org/goleak"
)

// TestMain lets the test binary play the programs that tests start.
func TestMain(m *testing.M) {
	switch os.Getenv("PROC_PLAYS") {
	case "":
		goleak.VerifyTestMain(m)
	case "witness":
		bearWitness()
	case "sender":
		send()
	case "old image":
		playOldImage()
	case "new image":
		playNewImage()
	}
}

const (
	searchPath = "/usr/bin:/bin:/usr/sbin:/sbin"
	// patience is for machines that are busy with other tests.
	patience = 60 * time.Second
)

func newReaper(t testing.TB) *Reaper {
	t.Helper()
	r, err := NewReaper(slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// shell is a daemon of that name that runs a script.
func shell(name, script string) Spec {
	return Spec{Name: name, Argv: []string{"sh", "-c", script}, Env: map[string]string{"PATH": searchPath}}
}

// run starts a daemon, and kills it when the test is over.
func run(t testing.TB, r *Reaper, spec Spec) *Process {
	t.Helper()
	p, err := r.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.KillAll()
		await(t, p.Gone(), "the end of "+spec.Name)
	})
	return p
}

// await waits for something to come over a channel, or for its end.
func await[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case value := <-c:
		return value
	case <-timer.C:
		t.Fatalf("waited %v in vain for %s", patience, what)
		panic("unreachable")
	}
}

// closed tells whether a channel is.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// awaitMembers waits until the daemon consists of n processes that run one of the
// programs, and returns their pids.
func awaitMembers(t testing.TB, r *Reaper, p *Process, n int, program string) []int {
	t.Helper()
	var found []int
	lab.Eventually(t, patience, fmt.Sprintf("%d processes %s of %s", n, program, p.name), func() bool {
		found = slices.DeleteFunc(r.Members(p.name, p.pid), func(pid int) bool {
			comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			return strings.TrimSpace(string(comm)) != program
		})
		return len(found) == n
	})
	return found
}

// zombies are the dead children of this process.
func zombies(t testing.TB) []int {
	t.Helper()
	processes, err := readTable()
	if err != nil {
		t.Fatal(err)
	}
	var dead []int
	for _, e := range processes {
		if e.zombie && e.parent == os.Getpid() {
			dead = append(dead, e.pid)
		}
	}
	return dead
}

// needRoot skips a test that becomes another user.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
}

// exitCode is how a program that os/exec ran ended.
func exitCode(err error) int {
	if ended, ok := err.(*exec.ExitError); ok {
		return ended.Sys().(syscall.WaitStatus).ExitStatus()
	}
	return 0
}
