// Command gotest runs `go test` with the arguments it is given and prints what
// that prints, and then the names of the tests that were skipped, and why:
// `go test` itself keeps them to itself. With CI=true in the environment, where
// nothing may be missing, a skipped test is a failure.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error: cannot run go test:", err)
		os.Exit(1)
	}
	skipped, err := report(events, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error: cannot read what go test says:", err)
	}
	failed := cmd.Wait() != nil || err != nil
	if printSkipped(os.Stdout, skipped) && os.Getenv("CI") == "true" {
		fmt.Fprintln(os.Stderr, "error: tests were skipped, and CI=true says that nothing may be missing here")
		failed = true
	}
	if failed {
		os.Exit(1)
	}
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
func report(events io.Reader, w io.Writer) ([]skip, error) {
	var skipped []skip
	output := map[string][]string{} // of tests that still run, or whose parent does
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return skipped, nil
		}
		if err != nil {
			return skipped, err
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
				skipped = append(skipped, skip{test, reason(output[test])})
			}
			delete(output, test)
		case "pass", "bench":
			delete(output, test)
		case "fail":
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
