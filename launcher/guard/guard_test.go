package guard

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/launcher/proc"
)

// TestMain lets the test binary play a guard, and the launcher that the guard starts.
func TestMain(m *testing.M) {
	Resume()
	if os.Getenv("GUARD_PLAYS") == "" {
		os.Exit(m.Run())
	}
	link, guarded := Child()
	if !guarded {
		os.Exit(Run())
	}
	launch(link)
}

// searchPath is that of the daemons in these tests.
const searchPath = "/usr/bin:/bin"

// daemons are all that ever outlived a launcher. Each runs `sleep $1`, by whose argument
// the test finds it.
var daemons = []struct{ name, script, user string }{
	{"plain", "exec sleep $1", ""},
	{"grandchild", "sleep $1 & wait", ""},
	{"session", "setsid sleep $1 & wait", ""},
	{"stubborn", "trap '' TERM HUP INT; sleep $1; sleep $1", ""},
	{"double-fork", "(setsid sh -c \"sleep $1 & exit 0\" &); exit 0", ""},
	{"no-environment", "(env -i /usr/bin/setsid /bin/sleep $1 &); exit 0", ""},
	{"other-user", "setsid sleep $1 & wait", "nobody"},
	{"stopped", "sleep $1 & until grep -q sleep /proc/$!/comm; do :; done; kill -STOP $! $$", ""},
}

// launch is a launcher: it starts the daemons, says so, and then does what signals say.
func launch(link *Link) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2)
	r, err := proc.NewReaper(slog.Default())
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(9)
	}
	if os.Getenv("GUARD_GENERATION") == "" {
		for _, d := range daemons {
			_, err := r.Start(proc.Spec{
				Name: d.name, User: d.user, Env: map[string]string{"PATH": searchPath},
				Argv: []string{"sh", "-c", d.script, "sh", os.Getenv("GUARD_SLEEPS")},
			})
			if err != nil {
				fmt.Println("error:", err)
				os.Exit(9)
			}
		}
	}
	link.Ready()
	fmt.Printf("launcher %d of guard %d%s\n", os.Getpid(), os.Getppid(), os.Getenv("GUARD_GENERATION"))
	for sig := range signals {
		fmt.Println("signal:", sig)
		switch sig {
		case syscall.SIGTERM, syscall.SIGINT:
			os.Exit(5)
		case syscall.SIGUSR2:
			upgrade(link, signals, os.Getenv("GUARD_UPGRADE"))
		}
	}
}

// upgrade goes on as another program, guard first.
func upgrade(link *Link, signals chan os.Signal, path string) {
	if err := link.Upgrade(context.Background(), path); err != nil {
		fmt.Println("upgrade:", err)
		link.Ready()
		return
	}
	for len(signals) > 0 {
		_ = syscall.Kill(os.Getppid(), (<-signals).(syscall.Signal))
	}
	env := append(os.Environ(), link.Env(), "GUARD_GENERATION=, upgraded")
	fmt.Println("error:", proc.Exec(path, os.Args, env, []*os.File{link.File()}))
}

// patience is for machines that are busy with other tests.
const patience = 60 * time.Second

// sleeps gives every test an argument of sleep of its own.
var sleeps atomic.Int64

// tree is a guard that runs with all that is below it.
type tree struct {
	cmd    *exec.Cmd
	output *lockedBuffer
	sleep  string
	guard  int // its pid, as the test sees it
	ended  chan struct{}
}

// grow starts a guard, with prefix before its command line, and waits for all daemons.
func grow(t *testing.T, prefix ...string) *tree {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can start a daemon of another user")
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tr := &tree{
		output: &lockedBuffer{}, ended: make(chan struct{}),
		sleep: strconv.FormatInt(int64(os.Getpid())*1000+sleeps.Add(1), 10),
	}
	argv := append(prefix, binary)
	tr.cmd = exec.Command(argv[0], argv[1:]...)
	tr.cmd.Env = []string{"GUARD_PLAYS=1", "GUARD_SLEEPS=" + tr.sleep, "PATH=" + searchPath}
	tr.cmd.Stdout, tr.cmd.Stderr = tr.output, tr.output
	tr.cmd.WaitDelay = time.Second
	// Should the test die without cleaning up (a panic, a timeout), all this ends too.
	tr.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return tr
}

// start runs it.
func (tr *tree) start(t *testing.T, env ...string) {
	t.Helper()
	tr.cmd.Env = append(tr.cmd.Env, env...)
	if err := tr.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(tr.ended)
		_ = tr.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		_ = tr.cmd.Process.Kill()
		<-tr.ended
		for _, pid := range running("\x00" + tr.sleep + "\x00") { // the shells as well
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("output:\n%s", tr.output.String())
		}
	})
	lab.Eventually(t, patience, "all daemons to run", func() bool {
		return strings.Contains(tr.output.String(), "launcher") && len(tr.alive()) >= len(daemons)
	})
	tr.guard = tr.cmd.Process.Pid
	if slices.Contains(tr.cmd.Args, "--fork") { // unshare(1), whose child it is
		tr.guard = child(t, tr.guard)
	}
}

// alive are the processes that run sleep with the argument of this test.
func (tr *tree) alive() []int { return running("sleep\x00" + tr.sleep + "\x00") }

// running are the processes whose command line ends so.
func running(end string) []int {
	var found []int
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		cmdline, _ := os.ReadFile(file)
		if bytes.HasSuffix(cmdline, []byte(end)) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				found = append(found, pid)
			}
		}
	}
	return found
}

// child is the one child of a process that runs this program.
func child(t *testing.T, parent int) int {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		stat, _ := os.ReadFile(file)
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		exe, _ := os.Readlink(filepath.Join(filepath.Dir(file), "exe"))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) && exe == self {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return pid
		}
	}
	t.Fatalf("process %d has no child", parent)
	return 0
}

// gone waits for the end of everything. A second is what a busy machine is not held
// to; that nothing is left is what counts.
func (tr *tree) gone(t *testing.T) {
	t.Helper()
	began := time.Now()
	defer func() { t.Logf("everything has ended after %v", time.Since(began)) }()
	lab.Eventually(t, patience, "the end of everything", func() bool { return len(tr.alive()) == 0 })
	select {
	case <-tr.ended:
	case <-time.After(patience):
		t.Error("the guard runs on")
	}
}

// code is the exit code of the guard.
func (tr *tree) code() int { return tr.cmd.ProcessState.ExitCode() }

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

// await waits for a line of the launcher.
func (tr *tree) await(t *testing.T, line string) {
	t.Helper()
	lab.Eventually(t, patience, line, func() bool { return strings.Contains(tr.output.String(), line) })
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
	tr.start(t, "GUARD_UPGRADE="+next)
	launcher, before := child(t, tr.guard), fmt.Sprint(tr.alive())
	if err := syscall.Kill(tr.guard, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	// What is sent meanwhile is kept.
	tr.await(t, "signal: user defined signal 2")
	if err := syscall.Kill(tr.guard, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	tr.await(t, fmt.Sprintf("launcher %d of guard %d, upgraded", launcher, tr.guard))
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
