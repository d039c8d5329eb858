// Command panteras runs and inspects one host of a Consul-based platform. Each
// subcommand has a file of its own that reads arguments and calls a package;
// the work is done there.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"panteras/launcher/guard"

	"golang.org/x/sys/unix"
)

// The exit codes of every command.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // bad usage or settings: running again cannot help
)

// The first thread is main's until it has given the process its name.
func init() { runtime.LockOSThread() }

func main() {
	// What the launcher starts of this program runs from /proc/self/exe, and would be
	// shown as "exe". This is still the first thread, whose name is that of the process.
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(unsafe.StringData("panteras\x00"))), 0, 0, 0)
	runtime.UnlockOSThread()
	// The users of daemons walk through folders that we make, whatever root's shell keeps from others (umask 027); what
	// is secret has a mode of its own.
	unix.Umask(unix.Umask(0) & 0o022)
	guard.Resume()
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run executes one command line and returns the exit code. env is the process
// environment as NAME=value.
func run(args, env []string, stdout, stderr io.Writer) int {
	root := newRoot(&app{env: env, stdout: stdout, stderr: stderr})
	// Cobra falls back to os.Args when it is given nil.
	root.SetArgs(append([]string{}, args...))
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return exitDone
	}
	if code := exitCode(0); errors.As(err, &code) {
		return int(code)
	}
	printError(stderr, err)
	if usage := (*usageError)(nil); errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// usageError marks an error that the operator must correct before running the
// command again: a wrong command line or wrong settings.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef is fmt.Errorf for a usageError.
func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// printError writes an error for people: one line, or a list when several
// problems were found at once.
func printError(w io.Writer, err error) {
	lines := strings.Split(err.Error(), "\n")
	if len(lines) == 1 {
		fmt.Fprintf(w, "panteras: %s\n", lines[0])
		return
	}
	fmt.Fprintf(w, "panteras: %d problems:\n", len(lines))
	for _, line := range lines {
		fmt.Fprintf(w, "  %s\n", line)
	}
}
