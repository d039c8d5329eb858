package test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
)

// printed is a command as a page prints it, and what it is said to print.
type printed struct {
	command string
	output  string
}

// consoleBlock is a block of commands in a page, each behind "$ ", before its output.
var consoleBlock = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")

// commandsIn reads the commands in a page of this module.
func commandsIn(t testing.TB, page string) (list []printed) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(lab.Root(t), page))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range consoleBlock.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			switch command, isCommand := strings.CutPrefix(line, "$ "); {
			case isCommand:
				list = append(list, printed{command: strings.TrimSpace(command)})
			case len(list) == 0:
				t.Fatalf("%s: %q follows no command", page, line)
			default:
				list[len(list)-1].output += line
			}
		}
	}
	if len(list) == 0 {
		t.Fatalf("%s has no commands", page)
	}
	return list
}

// console is a shell in which somebody types what a page prints.
type console struct {
	t     testing.TB
	input io.Writer
	lines chan string
	n     int
}

// newConsole starts a shell in a folder. What is started in it ends with the test.
func newConsole(t testing.TB, folder string, env []string) *console {
	t.Helper()
	input, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read, output, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &console{t: t, input: write, lines: make(chan string)}
	// All that it starts is in one process group, the number of which is its own.
	cmd := exec.Command("setsid", "bash", "-c", "exec bash --norc 1>&3 3>&-")
	cmd.Stdin, cmd.ExtraFiles, cmd.Env, cmd.Dir = input, []*os.File{output}, env, folder
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
	deadline := time.NewTimer(readyTime)
	defer deadline.Stop()
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				c.t.Fatalf("the shell has ended at: %s", command)
			}
			if text, isEnd := strings.CutPrefix(line, end); isEnd {
				code, _ = strconv.Atoi(text)
				return output, code
			}
			output += line + "\n"
		case <-deadline.C:
			c.t.Fatalf("still running after %v: %s\n%s", readyTime, command, output)
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
			c.t.Fatalf("%s\nends with %d and prints\n%snot\n%s", p.command, code, output, p.output)
		}
	}
}

// counted is a line of `uniq -c`.
var counted = regexp.MustCompile(`^ *([0-9]+) (.+)$`)

// sameOutput compares what was printed with what should be; counts of requests may be off
// by two, as HAProxy's rounds do not begin with ours.
func sameOutput(got, want string) bool {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	if len(g) != len(w) {
		return false
	}
	for i := range w {
		have, should := counted.FindStringSubmatch(g[i]), counted.FindStringSubmatch(w[i])
		if have == nil || should == nil {
			if g[i] != w[i] {
				return false
			}
			continue
		}
		n, err := strconv.Atoi(have[1])
		m, err2 := strconv.Atoi(should[1])
		if err != nil || err2 != nil || have[2] != should[2] || n < m-2 || n > m+2 {
			return false
		}
	}
	return true
}
