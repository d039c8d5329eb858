package guard

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"panteras/launcher"
	"panteras/launcher/proc"

	"golang.org/x/sys/unix"
)

// forwarded are the signals that are meant for the launcher.
var forwarded = []os.Signal{
	syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
}

// early are the signals that end a Go program which does not listen yet, unless they are
// ignored when it is executed. SIGTERM ends it in any case.
var early = []os.Signal{syscall.SIGHUP, syscall.SIGINT}

const (
	// killTimeout is how long the guard tries to kill what the launcher left. Only what
	// hangs in the kernel takes longer than some milliseconds.
	killTimeout = 10 * time.Second
	// holdLimit is how long signals are held back from a launcher that does not say that
	// it is ready for them.
	holdLimit = 5 * time.Second
)

// envResume tells a guard that was executed anew in place what it guards.
const envResume = "PANTERAS_GUARD"

// guard is a guard at work. It is what a guard hands to its next image.
type guard struct {
	Launcher int    // pid
	Link     int    // descriptor
	Cgroup   string // "" if there is none
	// Queue are signals held back: until the launcher listens to them they would end it.
	Queue []syscall.Signal
	// Floating is the address that a daemon may have left on a device.
	Floating launcher.Floating

	link    *os.File
	cgroup  *proc.Cgroup
	holding bool
}

// Run is a guard from its start to its end: it runs this program again, with the same
// arguments and environment, as the launcher. It returns the code to exit with: that
// of the launcher, or 128 and the number of the signal that ended it.
func Run() int {
	g := &guard{}
	signals, err := listen()
	if err == nil {
		err = g.start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "panteras: cannot start the launcher:", err)
		return 1
	}
	return g.run(signals)
}

// Resume is to be called first in main. It does nothing, unless this program was
// executed anew as a guard in place ([Link.Upgrade]); then it goes on as that guard, and
// does not return.
func Resume() {
	state, resuming := os.LookupEnv(envResume)
	if !resuming {
		return
	}
	if state == stateCheck {
		fmt.Println(protocol)
		os.Exit(0)
	}
	_ = os.Unsetenv(envResume)
	g := &guard{}
	err := json.Unmarshal([]byte(state), g)
	var signals chan os.Signal
	if err == nil {
		signals, err = listen()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "panteras: the guard cannot go on: %v\n", err)
		os.Exit(1)
	}
	unix.CloseOnExec(g.Link)
	g.link = os.NewFile(uintptr(g.Link), "link")
	g.cgroup = proc.CgroupAt(g.Cgroup)
	_, _ = g.link.WriteString(replyDone)
	os.Exit(g.run(signals))
}

// listen makes this process the parent of orphans and takes signals.
func listen() (chan os.Signal, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("cannot become the parent of orphans (child subreaper): %w", err)
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, append([]os.Signal{syscall.SIGCHLD}, forwarded...)...)
	signal.Ignore(syscall.SIGPIPE) // whoever reads our stderr may go
	return signals, nil
}

// start starts the launcher, in a session of its own: what a terminal sends, the guard
// gets, and forwards.
func (g *guard) start() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot make a socket: %w", err)
	}
	g.Link, g.link = pair[0], os.NewFile(uintptr(pair[0]), "link")
	theirs := os.NewFile(uintptr(pair[1]), "link")
	defer theirs.Close()
	attributes := &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, theirs},
		Env:   append(os.Environ(), envLink+"=3"),
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	launcher, err := g.startInCgroup(attributes)
	if err != nil {
		launcher, err = os.StartProcess("/proc/self/exe", os.Args, attributes)
	}
	if err != nil {
		return err
	}
	g.Launcher = launcher.Pid
	return launcher.Release() // reap waits for it
}

// startInCgroup fails where there are no control groups of version 2 for us.
func (g *guard) startInCgroup(attributes *os.ProcAttr) (*os.Process, error) {
	group := proc.NewCgroup()
	if group == nil {
		return nil, os.ErrNotExist
	}
	dir, err := os.Open(group.Dir())
	if err == nil {
		defer dir.Close()
		within := *attributes
		within.Sys = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(dir.Fd())}
		var launcher *os.Process
		if launcher, err = os.StartProcess("/proc/self/exe", os.Args, &within); err == nil {
			g.cgroup, g.Cgroup = group, group.Dir()
			return launcher, nil
		}
	}
	group.Remove()
	return nil, err
}

// run guards until the launcher has ended.
func (g *guard) run(signals chan os.Signal) int {
	requests := make(chan string)
	go func() {
		defer close(requests)
		receive(g.link, func(request string) { requests <- request })
	}()
	g.holding = true
	limit := time.NewTimer(holdLimit)
	defer limit.Stop()
	for {
		// At first as well: it may have ended while this program was executed anew.
		if status, ended := g.reap(); ended {
			return g.end(status)
		}
		select {
		case sig := <-signals:
			if sig != syscall.SIGCHLD {
				g.forward(sig.(syscall.Signal))
			}
		case <-limit.C:
			g.release()
		case request, open := <-requests:
			if !open {
				requests = nil // it ends; SIGCHLD tells when it has
				continue
			}
			if floating, ok := strings.CutPrefix(request, requestFloating); ok {
				g.Floating = parseFloating(floating)
				continue
			}
			path, upgrade := strings.CutPrefix(request, requestExec)
			if !upgrade {
				g.release()
				continue
			}
			g.holding = true
			limit.Reset(holdLimit)
			g.become(path, signals)
		}
	}
}

// forward sends a signal to the launcher, now or when it listens.
func (g *guard) forward(sig syscall.Signal) {
	if g.holding {
		if !slices.Contains(g.Queue, sig) {
			g.Queue = append(g.Queue, sig)
		}
		return
	}
	_ = syscall.Kill(g.Launcher, sig) // its pid is its own until reap has waited for it
}

// release ends the holding back of signals.
func (g *guard) release() {
	g.holding = false
	for _, sig := range g.Queue {
		g.forward(sig)
	}
	g.Queue = nil
}

// reap collects the dead: there are no other programs of this process that somebody
// waits for. ended tells that the launcher was among them.
func (g *guard) reap() (launcher syscall.WaitStatus, ended bool) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil || pid <= 0:
			return launcher, ended
		case pid == g.Launcher:
			launcher, ended = status, true
		}
	}
}

// end kills what the launcher has left and returns the exit code.
func (g *guard) end(status syscall.WaitStatus) int {
	g.cgroup.Kill()
	left := proc.KillDescendants(killTimeout, func() { g.reap() })
	g.cgroup.Remove()
	drop(g.Floating)
	if left > 0 {
		fmt.Fprintf(os.Stderr, "panteras: %d processes of daemons do not die of SIGKILL; they hang in the kernel\n", left)
	}
	if status.Signaled() {
		fmt.Fprintf(os.Stderr, "panteras: the launcher was killed by %s; all daemons have been killed\n", unix.SignalName(status.Signal()))
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// become executes the program at path in place of this one. It returns, and tells the
// launcher so, only if that failed.
func (g *guard) become(path string, signals chan os.Signal) {
	state, err := json.Marshal(g)
	if err == nil {
		// Until the next image listens, signals wait in the kernel; as soon as it listens to
		// one, Go lets it through. Some Go lets through from its start, when they would end
		// this process and with it everything. It heeds that these two are ignored.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var set, before unix.Sigset_t
		for _, sig := range forwarded {
			n := int(sig.(syscall.Signal)) - 1
			set.Val[n/64] |= 1 << (n % 64)
		}
		_ = unix.PthreadSigmask(unix.SIG_BLOCK, &set, &before)
		signal.Ignore(early...)
		for len(signals) > 0 { // what came so far
			if sig := <-signals; sig != syscall.SIGCHLD {
				g.forward(sig.(syscall.Signal))
			}
		}
		err = proc.Exec(path, os.Args, append(os.Environ(), envResume+"="+string(state)), []*os.File{g.link})
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
		signal.Notify(signals, early...)
	}
	_, _ = g.link.WriteString(err.Error())
}
