// Command gotest runs `go test` with the arguments it is given and prints what
// that prints, and then the names of the tests that were skipped, and why:
// `go test` itself keeps them to itself. With CI=true in the environment, where
// nothing may be missing, a skipped test is a failure.
//
// What failed runs once more, alone: machines are shared, and a test of processes and
// networks may starve on one. A test that passes then is named as one that is not
// reliable, and a test that is broken fails twice.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	args := os.Args[1:]
	first, err := run(args)
	exitOn(err)
	skipped := first.skipped
	failed := first.failed
	if failed && len(first.broken) > 0 && first.count() <= mostAgain {
		failed = false
		for _, pkg := range slices.Sorted(maps.Keys(first.broken)) {
			tests := first.broken[pkg]
			fmt.Printf("\nonce more: %s %s\n", pkg, strings.Join(tests, " "))
			again, err := run(onlyThese(args, pkg, tests))
			exitOn(err)
			if again.failed {
				failed = true
				continue
			}
			fmt.Printf("not reliable: %s %s failed beside others and passed alone\n", pkg, strings.Join(tests, " "))
		}
	}
	if printSkipped(os.Stdout, skipped) && os.Getenv("CI") == "true" {
		fmt.Fprintln(os.Stderr, "error: tests were skipped, and CI=true says that nothing may be missing here")
		failed = true
	}
	if failed {
		os.Exit(1)
	}
}

// mostAgain is how many tests may fail for them to run once more: more than a few are
// no accident.
const mostAgain = 6

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// result is what became of a run.
type result struct {
	failed  bool
	skipped []skip
	// broken are the tests that failed, by package; none are named where the package
	// itself did.
	broken map[string][]string
}

// count is how many tests failed; a package counts as one at least.
func (r result) count() int {
	n := 0
	for _, tests := range r.broken {
		n += max(1, len(tests))
	}
	return n
}

// run runs go test.
func run(args []string) (result, error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return result{}, fmt.Errorf("cannot run go test: %w", err)
	}
	r, err := report(events, os.Stdout)
	if err != nil {
		err = fmt.Errorf("cannot read what go test says: %w", err)
	}
	r.failed = cmd.Wait() != nil
	return r, err
}

// onlyThese are the arguments for some tests of one package. Packages stand behind all
// flags.
func onlyThese(args []string, pkg string, tests []string) []string {
	for len(args) > 0 && strings.HasPrefix(args[len(args)-1], ".") {
		args = args[:len(args)-1]
	}
	args = append(slices.Clone(args), "-count=1")
	if len(tests) > 0 {
		args = append(args, "-run", "^("+strings.Join(tests, "|")+")$")
	}
	return append(args, pkg)
}

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action, Package, Test, Output string
}

// skip is a test that was skipped.
type skip struct {
	name, reason string
}

// report prints to w what `go test` would have printed: the lines about packages,
// and the output of tests that failed.
func report(events io.Reader, w io.Writer) (result, error) {
	r := result{broken: map[string][]string{}}
	output := map[string][]string{} // of tests that still run, or whose parent does
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		var e event
		if json.Unmarshal(line, &e) != nil {
			fmt.Fprintf(w, "%s", line) // not an event: a message of the go command
			continue
		}
		test := e.Package + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			switch {
			case e.Test != "":
				output[test] = append(output[test], e.Output)
			case e.Output != "PASS\n": // which go test omits unless it is verbose
				fmt.Fprint(w, e.Output)
			}
		case "skip":
			if e.Test != "" { // a package is "skipped" that has no tests
				r.skipped = append(r.skipped, skip{test, reason(output[test])})
			}
			delete(output, test)
		case "pass", "bench":
			delete(output, test)
		case "fail":
			if r.broken[e.Package] == nil {
				r.broken[e.Package] = []string{}
			}
			if e.Test != "" && !strings.Contains(e.Test, "/") {
				r.broken[e.Package] = append(r.broken[e.Package], e.Test)
			}
			for _, text := range output[test] {
				if !noise(text) {
					fmt.Fprint(w, text)
				}
			}
			delete(output, test)
			if e.Test == "" { // the package: what a panic or a timeout cut short
				for rest, texts := range output {
					if strings.HasPrefix(rest, e.Package+" ") {
						fmt.Fprint(w, strings.Join(texts, ""))
						delete(output, rest)
					}
				}
			}
		}
	}
}

// noise reports whether a line only tells that a test goes on.
func noise(text string) bool {
	for _, prefix := range []string{"=== RUN", "=== PAUSE", "=== CONT", "=== NAME"} {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

// reason returns what a test gave as its reason for skipping.
func reason(output []string) string {
	var said []string
	for _, text := range output {
		text = strings.TrimSpace(text)
		if !noise(text) && !strings.HasPrefix(text, "--- SKIP") {
			said = append(said, text)
		}
	}
	return strings.Join(said, " ")
}

// printSkipped lists skipped tests, and reports whether there were any.
func printSkipped(w io.Writer, skipped []skip) bool {
	if len(skipped) == 0 {
		return false
	}
	fmt.Fprintf(w, "\nskipped: %d\n", len(skipped))
	for _, s := range skipped {
		fmt.Fprintf(w, "  %s\n      %s\n", s.name, s.reason)
	}
	return true
}
