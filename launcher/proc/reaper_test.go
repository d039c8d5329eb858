package proc

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
)

func TestHowAProcessEnded(t *testing.T) {
	t.Parallel()
	r := newReaper(t)
	p := run(t, r, shell(t.Name(), "exit 3"))
	if exit := await(t, p.Exited(), "its end"); exit.Code != 3 || exit.Signal != 0 || exit.String() != "exit code 3" || exit.At.IsZero() {
		t.Errorf("%+v, %s", exit, exit)
	}
	await(t, p.Gone(), "its end with all that is its own")
	if err := p.Signal(syscall.SIGTERM); err != os.ErrProcessDone {
		t.Errorf("a signal to the dead: %v", err)
	}
	p = run(t, r, shell(t.Name(), "exec sleep 1000"))
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit := await(t, p.Exited(), "its end"); exit.Signal != syscall.SIGTERM || exit.String() != "killed by SIGTERM" {
		t.Errorf("%+v, %s", exit, exit)
	}
}

// What a daemon leaves behind is known to be its own, however it did that, and ends
// with it; the dead are reaped.
func TestEverythingThatADaemonLeftEndsWithIt(t *testing.T) {
	t.Parallel()
	r := newReaper(t)
	for _, test := range []struct{ name, script, user string }{
		{"a child in its group", "sleep 1000 & exit 7", ""},
		{"a child in another session", "setsid sleep 1000 & exit 7", ""},
		{"a double fork", "(setsid sh -c 'sleep 1000 & exit 0' &); exit 7", ""},
		{"without its environment", "(env -i /bin/sleep 1000 &); exit 7", ""},
		{"of another user", "(setsid sleep 1000 &); exit 7", "nobody"},
		{"that ignores SIGTERM", "trap '' TERM HUP; (setsid sleep 1000 &); exit 7", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			spec := shell(t.Name(), test.script)
			if spec.User = test.user; spec.User != "" {
				needRoot(t)
			}
			p := run(t, r, spec)
			if exit := await(t, p.Exited(), "the end of the main process"); exit.Code != 7 {
				t.Errorf("it ended with %s", exit)
			}
			orphan := awaitMembers(t, r, p, 1, "sleep")[0]
			if e, _ := readEntry(orphan); e.parent != os.Getpid() {
				t.Errorf("the parent of the orphan is %d, not us", e.parent)
			}
			if closed(p.Gone()) {
				t.Error("it is said to have gone while its orphan runs")
			}
			if err := syscall.Kill(orphan, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			p.KillAll()
			await(t, p.Gone(), "the end of the orphan")
			lab.Eventually(t, patience, "the orphan to be reaped", func() bool { _, exists := readEntry(orphan); return !exists })
		})
	}
}

// A process that leaves its session and goes on in new children without pause is hardly ever
// in a table of all processes. It is not said to have gone, and it ends with its daemon.
func TestNobodyRunsAway(t *testing.T) {
	t.Parallel()
	r := newReaper(t)
	r.cgroup = nil // which would hold it
	trace := filepath.Join(t.TempDir(), "trace")
	// Each life lasts half a millisecond; they end by themselves after some seconds.
	p := run(t, r, shell(t.Name(), `setsid perl -e 'for (1 .. 20000) { if (open(F, ">", $ARGV[0])) { print F $_; close F } select(undef, undef, undef, 0.0005); exit 0 if fork }' `+trace+` & exit 0`))
	await(t, p.Exited(), "the end of the main process")
	lives := func() int {
		text, _ := os.ReadFile(trace)
		n, _ := strconv.Atoi(string(text))
		return n
	}
	lab.Eventually(t, patience, "some lives", func() bool { return lives() > 100 })
	if closed(p.Gone()) {
		t.Errorf("it is said to have gone, and runs in its life %d", lives())
	}
	p.KillAll()
	await(t, p.Gone(), "its end")
	last := lives()
	if last > 15000 {
		t.Fatalf("it had ended by itself nearly, in its life %d", last)
	}
	deadline := time.Now().Add(100 * time.Millisecond) // some 150 lives
	for time.Now().Before(deadline) {
		if now := lives(); now > last {
			t.Fatalf("it is said to have gone in its life %d, and runs in its life %d", last, now)
		}
	}
}

// Gone comes when the last process ends by itself, without anybody asking.
func TestGoneComesWithTheLastProcess(t *testing.T) {
	t.Parallel()
	r := newReaper(t)
	p := run(t, r, shell(t.Name(), "(setsid sleep 1000 &); (setsid sleep 2000 &); exit 0"))
	await(t, p.Exited(), "the end of the main process")
	for _, pid := range awaitMembers(t, r, p, 2, "sleep") {
		if closed(p.Gone()) {
			t.Error("it is said to have gone while an orphan runs")
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	await(t, p.Gone(), "the end of both orphans")
}

func TestOtherDaemonsAreNotMembers(t *testing.T) {
	t.Parallel()
	r := newReaper(t)
	one := run(t, r, shell(t.Name(), "setsid sleep 1000 & wait"))
	two := run(t, r, shell(t.Name()+"2", "setsid sleep 1000 & wait"))
	awaitMembers(t, r, one, 1, "sleep")
	awaitMembers(t, r, two, 1, "sleep")
	one.KillAll()
	await(t, one.Gone(), "the end of the first")
	if got := r.Members(two.name, two.pid); len(got) != 2 {
		t.Errorf("the second daemon has the processes %v, want its shell and sleep", got)
	}
}

// Programs that other code runs are waited for by that code, while orphans come and go.
func TestNoExitIsStolen(t *testing.T) {
	t.Parallel()
	r := newReaper(t)
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for range 8 {
				p, err := r.Start(shell(fmt.Sprintf("%s%d", t.Name(), i), "(setsid true &); (setsid sh -c 'sleep 0.01 & exit 1' &); exit 0"))
				if err != nil {
					t.Error(err)
					return
				}
				<-p.Gone()
			}
		})
		wg.Go(func() {
			for range 20 {
				if code := exitCode(exec.Command("sh", "-c", "exit 5").Run()); code != 5 {
					t.Errorf("os/exec got the exit code %d, want 5", code)
				}
			}
		})
	}
	// One whose owner takes its time is left to it.
	slow := exec.Command("sh", "-c", "exit 6")
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if code := exitCode(slow.Wait()); code != 6 {
		t.Errorf("os/exec got the exit code %d late, want 6", code)
	}
	lab.Eventually(t, patience, "all orphans to be reaped", func() bool { return !unclaimed(zombies(t)) })
}

// unclaimed tells whether one of the dead is held by nobody in this process.
func unclaimed(dead []int) bool {
	held := heldProcesses()
	for _, pid := range dead {
		if !held[pid] {
			return true
		}
	}
	return false
}

func TestManyStartsLeakNothing(t *testing.T) {
	r := newReaper(t)
	count := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	cycle := func() {
		p, err := r.Start(shell(t.Name(), "exit 1"))
		if err != nil {
			t.Fatal(err)
		}
		await(t, p.Gone(), "its end")
	}
	fail := func() {
		if _, err := r.Start(Spec{Name: "bad", Argv: []string{"/bin/true"}, Dir: "/no/folder"}); err == nil {
			t.Fatal("it started in a folder that does not exist")
		}
	}
	cycle()
	fail()
	files, goroutines := count(), runtime.NumGoroutine()
	for i := range 100 {
		if cycle(); i%10 == 0 {
			fail()
		}
	}
	lab.Eventually(t, patience, fmt.Sprintf("descriptors (%d) and goroutines (%d) to be as many as before", files, goroutines), func() bool {
		return count() <= files && runtime.NumGoroutine() <= goroutines
	})
	if len(r.processes) > 0 {
		t.Errorf("the reaper remembers %d processes", len(r.processes))
	}
}

func TestStatIsReadWhateverTheName(t *testing.T) {
	t.Parallel()
	line := "7 (a) b (c)) S 3 4 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3"
	want := entry{pid: 7, parent: 3, group: 4, session: 5, started: 987654}
	if got, ok := parseStat(7, []byte(line)); !ok || got != want {
		t.Errorf("%+v, %v, want %+v", got, ok, want)
	}
	if got, ok := parseStat(7, []byte(strings.Replace(line, " S ", " T ", 1))); !ok || !got.paused || got.zombie {
		t.Errorf("one that is stopped is %+v", got)
	}
	if got, ok := parseStat(7, []byte(strings.Replace(line, " S ", " Z ", 1))); !ok || !got.zombie {
		t.Errorf("%+v, %v, want a zombie", got, ok)
	}
	for _, bad := range []string{"", "7 (a", "7 (a) S 1 2", strings.Replace(line, " 3 4 ", " x 4 ", 1)} {
		if _, ok := parseStat(7, []byte(bad)); ok {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestOnlyTheProcessItselfIsKilled(t *testing.T) {
	t.Parallel()
	r := newReaper(t)
	p := run(t, r, shell(t.Name(), "exec sleep 1000"))
	e, ok := readEntry(p.Pid())
	if !ok {
		t.Fatal("it does not run")
	}
	another := e
	another.started--
	kill(another) // had its pid before
	if err := p.Signal(0); err != nil || len(r.Members(p.name, p.pid)) != 1 {
		t.Errorf("the process was killed for another one: %v", err)
	}
	kill(e)
	await(t, p.Gone(), "its end")
}
