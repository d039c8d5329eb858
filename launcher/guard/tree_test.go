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
	if os.Getenv("GUARD_HANGUP") != "" { // by somebody, at a time when nobody here listens
		_ = syscall.Kill(os.Getppid(), syscall.SIGHUP)
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

// await waits for a line of the launcher.
func (tr *tree) await(t *testing.T, line string) {
	t.Helper()
	lab.Eventually(t, patience, line, func() bool { return strings.Contains(tr.output.String(), line) })
}
