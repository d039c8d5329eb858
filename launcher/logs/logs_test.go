package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"panteras/configs"
	"panteras/internal/lab"

	"go.uber.org/goleak"
)

// leaves are goroutines of a library that never end; there is one for each log file.
var leaves = goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, leaves) }

// buffer is a console that can be read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newLogs(t *testing.T, o Options) *Logs {
	t.Helper()
	l := New(o)
	t.Cleanup(l.Close)
	return l
}

// open makes the pipes of a daemon; the test closes them.
func open(t *testing.T, l *Logs, daemon string) (stdout, stderr *os.File) {
	t.Helper()
	stdout, stderr, err := l.Pipe(daemon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = stdout.Close(), stderr.Close() })
	return stdout, stderr
}

func say(t *testing.T, f *os.File, text string) {
	t.Helper()
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

func TestConsoleAndFile(t *testing.T) {
	t.Parallel()
	console, dir := &buffer{}, filepath.Join(t.TempDir(), "made")
	mask := func(text string) string { return strings.ReplaceAll(text, "t0ken", configs.Masked) }
	l := newLogs(t, Options{Dir: dir, Console: console, Mask: mask, Now: func() time.Time { return time.Unix(0, 0) }})
	stdout, stderr := open(t, l, "consul")
	say(t, stdout, "one\ntwo of ")
	lab.Eventually(t, 10*time.Second, "the first line is on the console", func() bool { return strings.Contains(console.String(), "one") })
	say(t, stderr, "a t0ken\r\n")
	lab.Eventually(t, 10*time.Second, "stderr is on the console", func() bool { return strings.Contains(console.String(), "a ********") })
	say(t, stdout, "two\n\n\x1b[31mred\x1b[0m \xff bell\a\ttab\u009b\u202e é\n")
	lab.Eventually(t, 10*time.Second, "stdout is on the console", func() bool { return strings.Contains(console.String(), "tab") })
	l.Write("consul", "exit code 1, with the t0ken")
	say(t, stdout, "a line that does not end")
	_ = stdout.Close()
	lab.Eventually(t, 10*time.Second, "the end of stdout ends its line", func() bool { return strings.Contains(console.String(), "does not end\n") })
	l.Close()
	want := []string{
		"one", "a ********", "two of two", "", `\x1b[31mred\x1b[0m \xff bell\x07` + "\ttab" + `\u009b\u202e é`,
		"panteras: exit code 1, with the ********", "a line that does not end",
	}
	if got := console.String(); got != "consul | "+strings.Join(want, "\nconsul | ")+"\n" {
		t.Errorf("the console shows\n%s", got)
	}
	want[5] = "1970-01-01T00:00:00Z " + want[5]
	if got := content(t, dir+"/consul.log"); got != strings.Join(want, "\n")+"\n" {
		t.Errorf("the file holds\n%s", got)
	}
	info, err := os.Stat(dir + "/consul.log")
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	console, dir := &buffer{}, t.TempDir()
	l := newLogs(t, Options{Dir: dir, Console: console, Format: configs.LogFormatJSON, Now: func() time.Time { return time.Unix(1, 0).UTC() }})
	stdout, stderr := open(t, l, "dns")
	say(t, stdout, "a \"quoted\" one\n")
	lab.Eventually(t, 10*time.Second, "stdout is there", func() bool { return console.String() != "" })
	say(t, stderr, "\x00\n")
	lab.Eventually(t, 10*time.Second, "stderr is there", func() bool { return strings.Count(console.String(), "\n") == 2 })
	l.Write("dns", "remark")
	l.Close()
	if console.String() != content(t, dir+"/dns.log") {
		t.Errorf("console\n%s\nand file\n%s\ndiffer", console, content(t, dir+"/dns.log"))
	}
	var got []Line
	for text := range strings.Lines(console.String()) {
		var line Line
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		got = append(got, line)
	}
	at := time.Unix(1, 0).UTC()
	want := []Line{{at, "dns", Stdout, `a "quoted" one`}, {at, "dns", Stderr, `\x00`}, {at, "dns", Remark, "remark"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestSplitting cuts a stream in all sorts of places: the lines must not depend on it.
func TestSplitting(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-s3cret"
	mask := func(text string) string { return strings.ReplaceAll(text, secret, "***") }
	long := strings.Repeat("x", maxLine-5) + secret + strings.Repeat("é", maxLine) + secret
	stream := "short " + secret + "\n\n" + long + "\nend"
	for _, size := range []int{1, 2, 3, 7, 1000, maxLine, len(stream)} {
		s := splitter{mask: mask}
		var lines []string
		emit := func(text string) { lines = append(lines, text) }
		for b := []byte(stream); len(b) > 0; b = b[min(size, len(b)):] {
			s.add(b[:min(size, len(b))], emit)
			if len(s.pending) > maxLine+maxSecret {
				t.Fatalf("in pieces of %d bytes: %d bytes are held", size, len(s.pending))
			}
		}
		s.flush(emit)
		if lines[0] != "short ***" || lines[1] != "" || lines[len(lines)-1] != "end" {
			t.Errorf("in pieces of %d bytes: the lines are %.60q", size, lines)
		}
		pieces := lines[2 : len(lines)-1]
		if got := strings.Join(pieces, ""); got != mask(long) {
			t.Errorf("in pieces of %d bytes: the pieces of the long line are not its text", size)
		}
		for _, piece := range pieces {
			if len(piece) > maxLine+maxSecret {
				t.Errorf("in pieces of %d bytes: a piece has %d bytes", size, len(piece))
			}
		}
	}
}

func TestALineOfSecretsIsCutAndHidden(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("s", maxSecret)
	mask := func(text string) string { return strings.ReplaceAll(text, secret, "***") }
	s := splitter{mask: mask}
	var all strings.Builder
	emit := func(text string) { all.WriteString(text) }
	for range 50 {
		s.add([]byte(secret), emit)
	}
	s.flush(emit)
	if got := all.String(); strings.Contains(got, "s") || got == "" {
		t.Errorf("%d bytes are shown: %.60q", len(got), got)
	}
}

func TestTailIsBounded(t *testing.T) {
	t.Parallel()
	l := newLogs(t, Options{})
	if got := l.Tail("consul", 5); len(got) != 0 {
		t.Errorf("before it has run: %v", got)
	}
	for i := range 3 * keepLines {
		l.Write("consul", fmt.Sprint(i))
	}
	got := l.Tail("consul", 1<<30)
	if len(got) != keepLines || got[0].Text != fmt.Sprint(2*keepLines) || got[len(got)-1].Text != fmt.Sprint(3*keepLines-1) {
		t.Errorf("%d lines, from %v", len(got), got[0])
	}
	if got := l.Tail("consul", 2); len(got) != 2 || got[0].Text != fmt.Sprint(3*keepLines-2) {
		t.Errorf("the last two are %v", got)
	}
	if got := l.Tail("consul", -1); len(got) != 0 {
		t.Errorf("less than none are %v", got)
	}
	for range keepLines {
		l.Write("consul", strings.Repeat("x", 10_000))
	}
	bytes := 0
	for _, line := range l.Tail("consul", 1<<30) {
		bytes += len(line.Text)
	}
	if bytes == 0 || bytes > keepBytes {
		t.Errorf("%d bytes are kept", bytes)
	}
}

// TestFollow begins in the middle of what a daemon writes, several times.
func TestFollow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := newLogs(t, Options{Dir: dir})
	stdout, _ := open(t, l, "consul")
	const lines = 20_000
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range lines {
			if _, err := fmt.Fprintf(stdout, "line %d\n", i); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 4 {
		wg.Go(func() {
			for last := 0; last < lines-1 && !t.Failed(); {
				last = followSome(t, l, 200, lines)
			}
		})
	}
	wg.Wait()
	l.Close()
	if got := content(t, dir+"/consul.log"); strings.Count(got, "\n") != lines || !strings.HasSuffix(got, fmt.Sprintf("line %d\n", lines-1)) {
		t.Errorf("the file holds %d lines", strings.Count(got, "\n"))
	}
}

// followSome follows lines that are numbered, for some of them or to the last of all, and
// returns the number at which it ended.
func followSome(t *testing.T, l *Logs, some, all int) (last int) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	first := -1
	for line := range l.Follow(ctx, "consul", 10) {
		var i int
		if _, err := fmt.Sscanf(line.Text, "line %d", &i); err != nil || first >= 0 && i != last+1 {
			t.Errorf("%q follows line %d", line.Text, last)
			return last
		}
		if last = i; first < 0 {
			first = i
		}
		if last == all-1 || last-first >= some {
			return last
		}
	}
	t.Errorf("the last line that came is %d", last)
	return last
}

func TestFollowBeforeItHasRun(t *testing.T) {
	t.Parallel()
	l := newLogs(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	lines := l.Follow(ctx, "marathon", 10)
	l.Write("marathon", "begins")
	if line := <-lines; line.Text != "begins" || line.Daemon != "marathon" {
		t.Errorf("got %v", line)
	}
	cancel()
	if _, ok := <-lines; ok {
		t.Error("there is another line")
	}
	d := l.daemon("marathon")
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.followers) != 0 {
		t.Error("who has gone is still followed up")
	}
}

func TestASlowFollowerHoldsUpNobody(t *testing.T) {
	t.Parallel()
	l := newLogs(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lines := l.Follow(ctx, "consul", 0)
	long := strings.Repeat("x", 10_000)
	const many = 2 * followLimit / 10_000
	for range many {
		l.Write("consul", long) // would hang here
	}
	seen, remarks := 0, ""
	for line := range lines {
		if line.Text == long {
			seen++
			continue
		}
		remarks = line.Text
		break
	}
	if want := fmt.Sprintf("%d lines are left out here: they came faster than they were read", many-seen); seen == 0 || remarks != want {
		t.Errorf("after %d lines: %q, want %q", seen, remarks, want)
	}
	l.Write("consul", "next")
	if line := <-lines; line.Text != "next" {
		t.Errorf("got %.30q", line.Text)
	}
}

// stuck is a console that takes nothing until it is let go.
type stuck struct {
	let chan struct{}
	buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.let
	return s.buffer.Write(p)
}

func TestAStuckConsoleHoldsUpNobody(t *testing.T) {
	t.Parallel()
	console, dir := &stuck{let: make(chan struct{})}, t.TempDir()
	l := newLogs(t, Options{Dir: dir, Console: console})
	stdout, _ := open(t, l, "consul")
	line := strings.Repeat("x", 99) + "\n"
	const lines = 4 * consoleLimit / 100
	_ = stdout.SetWriteDeadline(time.Now().Add(time.Minute)) // no effect on a file that blocks
	for range lines {
		say(t, stdout, line) // would hang here
	}
	lab.Eventually(t, time.Minute, "the file has everything", func() bool {
		return strings.Count(content(t, dir+"/consul.log"), "\n") == lines
	})
	close(console.let)
	lab.Eventually(t, time.Minute, "the console says what it lacks", func() bool {
		return strings.Contains(console.String(), "lines are left out here")
	})
	l.Close()
	dropped, files := l.Dropped()
	shown := strings.Count(console.String(), "consul | x")
	if dropped == 0 || int(dropped)+shown != lines || files != 0 {
		t.Errorf("%d lines shown and %d dropped make not %d; %d are missing in the file", shown, dropped, lines, files)
	}
	if want := fmt.Sprintf("panteras | %d lines are left out here: the console did not take them\n", dropped); !strings.Contains(console.String(), want) {
		t.Errorf("the console does not say %q", want)
	}
}

func TestAConsoleThatNeverWakesDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	console := &stuck{let: make(chan struct{})}
	l := New(Options{Console: console})
	l.Write("consul", "text")
	begun := time.Now()
	l.Close()
	if took := time.Since(begun); took > 10*flushTimeout {
		t.Errorf("the end took %v", took)
	}
	close(console.let) // for the goroutine that was left behind
	<-l.console.done
}
