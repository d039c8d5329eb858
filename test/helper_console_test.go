package test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
)

// console is a shell in which somebody types what a page prints.
type console struct {
	t     testing.TB
	input io.Writer
	lines chan string
	n     int
	wait  time.Duration // for the end of a command
}

// newConsole starts a shell in a folder, in the namespaces that the test is in. What is
// started in it ends with the test, unless it has turned away (setsid).
func newConsole(t testing.TB, env []string, dir string) *console {
	t.Helper()
	input, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read, output, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &console{t: t, input: write, lines: make(chan string), wait: readyTime}
	// All that it starts is in one process group, the number of which is its own.
	cmd := exec.Command("setsid", "bash", "-c", "exec bash --norc 1>&3 3>&-")
	cmd.Stdin, cmd.ExtraFiles, cmd.Env, cmd.Dir = input, []*os.File{output}, env, dir
	p := lab.Start(t, cmd)
	_, _ = input.Close(), output.Close()
	go func() {
		defer close(c.lines)
		for scanner := bufio.NewScanner(read); scanner.Scan(); {
			c.lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		_ = write.Close()
		_ = syscall.Kill(-p.Pid(), syscall.SIGKILL)
		for range c.lines { // until nobody is left who could write
		}
		_ = read.Close()
	})
	return c
}

// run types a command and returns what it prints on its standard output, and its exit
// code.
func (c *console) run(command string) (output string, code int) {
	c.t.Helper()
	c.n++
	end := fmt.Sprintf("=== end of %d: ", c.n)
	if _, err := fmt.Fprintf(c.input, "%s\nprintf '%s%%d\\n' $?\n", command, end); err != nil {
		c.t.Fatal(err)
	}
	deadline := time.NewTimer(c.wait)
	defer deadline.Stop()
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				c.t.Fatalf("the shell has ended at: %s", command)
			}
			if last, text, isEnd := strings.Cut(line, end); isEnd { // behind what does not end its line
				code, _ = strconv.Atoi(text)
				return output + last, code
			}
			output += line + "\n"
		case <-deadline.C:
			c.t.Fatalf("still running after %v: %s\n%s", c.wait, command, output)
		}
	}
}

// follow types the commands of a page. One that prints something is repeated until it
// prints what the page says, because what it shows takes some seconds.
func (c *console) follow(commands []printed) {
	c.t.Helper()
	for _, p := range commands {
		var output string
		code := 0
		try := func() bool {
			output, code = c.run(p.command)
			return code == 0 && (p.output == "" || sameOutput(output, p.output))
		}
		good := try()
		for deadline := time.Now().Add(readyTime); p.output != "" && !good && time.Now().Before(deadline); {
			good = try()
		}
		if !good {
			c.t.Fatalf("%s, in the block of line %d:\n%s\nends with %d and prints\n%snot\n%s", p.block.page, p.block.line, p.command, code, output, p.output)
		}
	}
}

// counted is a line of `uniq -c`.
var counted = regexp.MustCompile(`^ *([0-9]+) (.+)$`)

// rest stands in a page for what differs from host to host: any text, and alone on a line
// any lines.
const rest = "…"

// sameOutput compares what was printed with what should be; counts of requests may be off
// by two, as HAProxy's rounds do not begin with ours.
func sameOutput(got, want string) bool {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range w {
		if w[i] == rest { // the shortest run of lines after which all else is the same
			for skip := i; skip <= len(g); skip++ {
				if sameOutput(strings.Join(g[skip:], "\n"), strings.Join(w[i+1:], "\n")) {
					return true
				}
			}
			return false
		}
		if i >= len(g) || !sameLine(g[i], w[i]) {
			return false
		}
	}
	return len(g) == len(w)
}

func sameLine(got, want string) bool {
	have, should := counted.FindStringSubmatch(got), counted.FindStringSubmatch(want)
	if have != nil && should != nil && !strings.Contains(want, rest) {
		n, err := strconv.Atoi(have[1])
		m, err2 := strconv.Atoi(should[1])
		return err == nil && err2 == nil && have[2] == should[2] && n >= m-2 && n <= m+2
	}
	parts := strings.Split(want, rest)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(got)
}

func TestSameOutput(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		got, want string
		same      bool
	}{
		{"a\nb\n", "a\nb\n", true},
		{"a\nb\n", "a\n", false},
		{"a\n", "a\nb\n", false},
		{"a 17 c\n", "a … c\n", true},
		{"a 17 d\n", "a … c\n", false},
		{"1 1 80 a\n", "1 1 80 …\n", true},
		{"a\nb\nc\n", "…\nc\n", true},
		{"a\nb\nc\n", "a\n…\n", true},
		{"a\nb\n", "a\n…\nb\n", true},
		{"a\nb\nd\n", "a\n…\nc\n", false},
		{"  99 x\n", " 100 x\n", true},
		{"  97 x\n", " 100 x\n", false},
		{" 100 y\n", " 100 x\n", false},
	} {
		if same := sameOutput(c.got, c.want); same != c.same {
			t.Errorf("%q and %q: %v", c.got, c.want, same)
		}
	}
}
