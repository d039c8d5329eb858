package logs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
)

func TestRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := newLogs(t, Options{Dir: dir})
	stdout, _ := open(t, l, "consul")
	lines := l.Follow(t.Context(), "consul", 0)
	text := strings.Repeat("x", 10_000)
	const many = 1500 // 15 MB
	go func() {
		for i := range many {
			_, _ = fmt.Fprintf(stdout, "%d %s\n", i, text)
		}
		_ = stdout.Close()
	}()
	for i := range many {
		if line := <-lines; !strings.HasPrefix(line.Text, fmt.Sprint(i, " ")) {
			t.Fatalf("line %d is %.40q", i, line.Text)
		}
	}
	l.Close()
	var names []string
	lab.Eventually(t, time.Minute, "the first file is rotated and packed", func() bool {
		names, _ = filepath.Glob(dir + "/consul*")
		return len(names) == 2 && strings.HasSuffix(names[0], ".log.gz") && names[1] == dir+"/consul.log"
	})
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o640 || info.Size() > fileMegabytes<<20 {
			t.Errorf("%s: mode %v, %d bytes, %v", name, info.Mode(), info.Size(), err)
		}
	}
}

func TestAFileThatWasMovedAwayIsMadeAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := newLogs(t, Options{Dir: dir})
	l.Write("consul", "first")
	path := dir + "/consul.log"
	lab.Eventually(t, 10*time.Second, "the file is there", func() bool { return content(t, path) != "" })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, 30*time.Second, "there is a new file", func() bool {
		l.Write("consul", "next")
		return strings.Contains(content(t, path), "next")
	})
}

// TestAFullDisk fills a small file system, twice.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	dir := mount(t, 0)
	console := &buffer{}
	l := newLogs(t, Options{Dir: dir, Console: console})
	ballast := dir + "/ballast"
	for round := 1; round <= 2; round++ {
		fill(t, ballast)
		inTrouble(t, l, console, round, "no space left on device")
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		healed(t, l, console, round, dir)
	}
}

func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAReadOnlyFolder(t *testing.T) {
	t.Parallel()
	dir := mount(t, syscall.MS_RDONLY)
	console := &buffer{}
	l := newLogs(t, Options{Dir: dir, Console: console})
	inTrouble(t, l, console, 1, "read-only file system")
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT, smallDisk); err != nil {
		t.Fatal(err)
	}
	healed(t, l, console, 1, dir)
}

func TestAFolderThatIsNone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	console := &buffer{}
	l := newLogs(t, Options{Dir: dir, Console: console})
	inTrouble(t, l, console, 1, "not a directory")
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	healed(t, l, console, 1, dir)
}

const (
	trouble1 = "panteras | cannot write log files: "
	healed1  = "panteras | log files are written again; they lack "
)

// inTrouble has two daemons write until the trouble is reported, and for a while after.
// Everything else gets what they say.
func inTrouble(t *testing.T, l *Logs, console *buffer, round int, reason string) {
	t.Helper()
	text := strings.Repeat("x", 3000)
	said := 0
	speak := func() {
		l.Write("consul", text)
		l.Write("dns", text)
		said++
	}
	lab.Eventually(t, 30*time.Second, "the trouble is reported", func() bool {
		speak()
		return strings.Count(console.String(), trouble1) == round
	})
	retried := time.Now().Add(2 * retryAfter)
	lab.Eventually(t, 30*time.Second, "it was tried again", func() bool {
		speak()
		return time.Now().After(retried)
	})
	l.Write("consul", fmt.Sprint("end of round ", round))
	lab.Eventually(t, 30*time.Second, "the console has it all", func() bool {
		return strings.Contains(console.String(), fmt.Sprint("end of round ", round))
	})
	got := console.String()
	if strings.Count(got, trouble1) != round || !strings.Contains(got, reason) {
		t.Errorf("in round %d the trouble, %s, is reported %d times", round, reason, strings.Count(got, trouble1))
	}
	if n := len(l.Tail("dns", said)); n != min(said, len(l.Tail("dns", 1<<30))) {
		t.Errorf("memory has %d of %d lines", n, said)
	}
}

// healed has them write until the end of the trouble is reported.
func healed(t *testing.T, l *Logs, console *buffer, round int, dir string) {
	t.Helper()
	lab.Eventually(t, 30*time.Second, "the end of the trouble is reported", func() bool {
		l.Write("consul", "again")
		l.Write("dns", "again")
		return strings.Count(console.String(), healed1) == round
	})
	for _, daemon := range []string{"consul", "dns"} {
		got := content(t, dir+"/"+daemon+".log")
		if n := strings.Count(got, " lines are missing here: they could not be written\n"); n != round {
			t.Errorf("the file of %s says %d times that lines are missing, want %d", daemon, n, round)
		}
		for line := range strings.Lines(got) {
			// A line that was written in part is ended before the next one.
			if !strings.HasPrefix(line, "20") || strings.Count(line, " panteras: ") > 1 {
				t.Errorf("the file of %s holds a line that begins with %.60q and has %d bytes", daemon, line, len(line))
			}
		}
	}
	if _, files := l.Dropped(); files == 0 {
		t.Error("nothing counts as dropped")
	}
}

// smallDisk is so small that a few lines fill it.
const smallDisk = "size=256k"

func mount(t *testing.T, flags uintptr) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", flags, smallDisk); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}
