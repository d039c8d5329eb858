package guard

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"panteras/internal/lab"
)

// surroundings are where a guard runs.
var surroundings = []struct {
	name   string
	prefix []string
}{
	{"plain", nil},
	{"without control groups", []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs none /sys/fs/cgroup && exec "$0"`}},
	// As in a container.
	{"as PID 1", []string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child"}},
}

func TestNothingOutlivesTheLauncher(t *testing.T) {
	t.Parallel()
	for _, test := range surroundings {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tr := grow(t, test.prefix...)
			tr.start(t)
			launcher := child(t, tr.guard)
			if err := syscall.Kill(launcher, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			tr.gone(t)
			if tr.code() != 128+9 {
				t.Errorf("exit code %d, want 137", tr.code())
			}
			if !strings.Contains(tr.output.String(), "the launcher was killed by SIGKILL") {
				t.Errorf("it does not say why it ended: %s", tr.output)
			}
		})
	}
}

func TestNothingOutlivesTheGuard(t *testing.T) {
	t.Parallel()
	for _, test := range surroundings {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tr := grow(t, test.prefix...)
			tr.start(t)
			launcher := child(t, tr.guard)
			if err := syscall.Kill(tr.guard, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			tr.gone(t)
			lab.Eventually(t, patience, "the end of the launcher", func() bool {
				stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", launcher))
				return err != nil || bytes.Contains(stat, []byte(") Z "))
			})
		})
	}
}

// A guard may be killed together with what reads its output.
func TestNothingOutlivesTheGuardWhereNobodyReads(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	defer writer.Close()
	tr := grow(t)
	tr.cmd.Stderr = writer
	tr.start(t)
	if err := syscall.Kill(tr.guard, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	tr.gone(t)
}

func TestTheGuardForwardsSignalsAndEndsAsTheLauncher(t *testing.T) {
	t.Parallel()
	for _, test := range surroundings {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tr := grow(t, test.prefix...)
			tr.start(t)
			for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1} {
				if err := syscall.Kill(tr.guard, sig); err != nil {
					t.Fatal(err)
				}
				tr.await(t, "signal: "+sig.String())
			}
			if err := syscall.Kill(tr.guard, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			tr.gone(t) // this launcher stops no daemon, so the guard kills them
			if tr.code() != 5 {
				t.Errorf("exit code %d, want the launcher's 5", tr.code())
			}
		})
	}
}

func TestBothGoOnAsAnotherProgram(t *testing.T) {
	t.Parallel()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(t.TempDir(), "next")
	text, err := os.ReadFile(binary)
	if err == nil {
		err = os.WriteFile(next, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	tr := grow(t)
	tr.start(t, "GUARD_UPGRADE="+next, "GUARD_HANGUP=1")
	launcher, before := child(t, tr.guard), fmt.Sprint(tr.alive())
	if err := syscall.Kill(tr.guard, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	tr.await(t, fmt.Sprintf("launcher %d of guard %d, upgraded", launcher, tr.guard))
	// What is sent while the guard waits for the launcher is kept.
	tr.await(t, "signal: hangup")
	for _, pid := range []int{tr.guard, launcher} {
		if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); exe != next {
			t.Errorf("process %d runs %s, want %s", pid, exe, next)
		}
	}
	if after := fmt.Sprint(tr.alive()); after != before {
		t.Errorf("daemons %s, want those of before: %s", after, before)
	}
	// It guards as before.
	if err := syscall.Kill(launcher, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	tr.gone(t)
	if tr.code() != 137 {
		t.Errorf("exit code %d, want 137", tr.code())
	}
}

// A guard that becomes another program is for a while one that listens to no signal.
func TestSignalsDoNotEndAGuardThatBecomesAnotherProgram(t *testing.T) {
	t.Parallel()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tr := grow(t)
	tr.start(t, "GUARD_UPGRADE="+binary)
	before := fmt.Sprint(tr.alive())
	for round := range 3 {
		if err := syscall.Kill(tr.guard, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		lab.Eventually(t, patience, "another life", func() bool {
			_ = syscall.Kill(tr.guard, syscall.SIGHUP) // if it has ended, that shows
			select {
			case <-tr.ended:
				t.Fatalf("SIGHUP has ended the guard: exit code %d", tr.code())
			default:
			}
			return strings.Count(tr.output.String(), ", upgraded") > round
		})
	}
	heard := strings.Count(tr.output.String(), "signal: hangup")
	lab.Eventually(t, patience, "it to listen to signals as before", func() bool {
		_ = syscall.Kill(tr.guard, syscall.SIGHUP)
		return strings.Count(tr.output.String(), "signal: hangup") > heard
	})
	if after := fmt.Sprint(tr.alive()); after != before {
		t.Errorf("daemons %s, want those of before: %s", after, before)
	}
}

func TestAProgramThatCannotGuardIsRefused(t *testing.T) {
	t.Parallel()
	tr := grow(t)
	tr.start(t, "GUARD_UPGRADE=/bin/true")
	before := fmt.Sprint(tr.alive())
	if err := syscall.Kill(tr.guard, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	tr.await(t, "upgrade: /bin/true is no panteras")
	// Nothing is held back after it.
	if err := syscall.Kill(tr.guard, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	tr.await(t, "signal: hangup")
	if after := fmt.Sprint(tr.alive()); after != before {
		t.Errorf("daemons %s, want those of before: %s", after, before)
	}
}

func TestNobodyIsTakenForAGuard(t *testing.T) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pair[0])
	defer syscall.Close(pair[1])
	// The last is a socket, but not of the parent.
	for _, value := range []string{"0", "99", "x", "", strconv.Itoa(pair[0])} {
		t.Setenv(envLink, value)
		if _, guarded := Child(); guarded {
			t.Errorf("%s=%q makes a guard", envLink, value)
		}
		if _, left := os.LookupEnv(envLink); left {
			t.Errorf("%s is left for children", envLink)
		}
	}
	t.Setenv(envLink, "") // for the cleanup of the first
	_ = os.Unsetenv(envLink)
	if _, guarded := Child(); guarded {
		t.Error("there is a guard")
	}
}
