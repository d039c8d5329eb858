package proc

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// playOldImage starts daemons and executes this binary in its own place.
func playOldImage() {
	r, err := NewReaper(slog.Default())
	if err != nil {
		die(err)
	}
	pids := ""
	for i, script := range []string{"exec sleep 1000", "(setsid sleep 2000 &); sleep 1000"} {
		p, err := r.Start(shell("adopted"+strconv.Itoa(i), script))
		if err != nil {
			die(err)
		}
		pids += strconv.Itoa(p.Pid()) + " "
	}
	r.Close()
	// One ends while nobody looks.
	early, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "exit 4"}, &os.ProcAttr{})
	if err != nil {
		die(err)
	}
	pids += strconv.Itoa(early.Pid)
	env := append(os.Environ(), "PROC_PIDS="+pids)
	for i, entry := range env {
		if strings.HasPrefix(entry, "PROC_PLAYS=") {
			env[i] = "PROC_PLAYS=new image"
		}
	}
	kept, err := os.Open("/dev/zero")
	if err != nil {
		die(err)
	}
	die(Exec("/proc/self/exe", os.Args, append(env, fmt.Sprintf("PROC_KEPT=%d", kept.Fd())), []*os.File{kept}))
}

// playNewImage adopts them and tells of their ends.
func playNewImage() {
	r, err := NewReaper(slog.Default())
	if err != nil {
		die(err)
	}
	target, _ := os.Readlink("/proc/self/fd/" + os.Getenv("PROC_KEPT"))
	fmt.Println("pid", os.Getpid(), "kept", target)
	// The reaper may be quicker than we are.
	for reaped := false; !reaped; {
		r.mu.Lock()
		reaped = len(r.strangers) > 0
		r.mu.Unlock()
		runtime.Gosched()
	}
	var pids [3]int
	if _, err := fmt.Sscan(os.Getenv("PROC_PIDS"), &pids[0], &pids[1], &pids[2]); err != nil {
		die(err)
	}
	var adopted [3]*Process
	for i, pid := range pids {
		adopted[i] = r.Adopt("adopted"+strconv.Itoa(i), pid)
	}
	fmt.Println("early", <-adopted[2].Exited())
	fmt.Println("runs", adopted[0].Signal(0) == nil, len(r.Members("adopted1", pids[1])) >= 1)
	if err := adopted[0].Signal(syscall.SIGTERM); err != nil {
		die(err)
	}
	fmt.Println("late", <-adopted[0].Exited())
	adopted[1].KillAll()
	<-adopted[1].Gone()
	fmt.Println("foreign", <-r.Adopt("foreign", 1).Exited())
	KillDescendants(10*time.Second, func() {})
}

func die(err error) {
	fmt.Println("error:", err)
	os.Exit(1)
}

func TestAReplacedProgramGoesOnWithItsChildren(t *testing.T) {
	t.Parallel()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Env = []string{"PROC_PLAYS=old image", "PATH=" + searchPath}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	var got []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		got = append(got, lines.Text())
	}
	want := []string{
		fmt.Sprintf("pid %d kept /dev/zero", cmd.Process.Pid),
		"early exit code 4", "runs true true", "late killed by SIGTERM", "foreign ended, nobody saw how",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
