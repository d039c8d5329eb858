package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"panteras/launcher/proc/shim"

	"golang.org/x/sys/unix"
)

// self is this program, also when another lies at its path by now, and for users who
// may not go to its path.
const self = "/proc/self/exe"

// Start runs a process. It returns when the program of the daemon has begun, some
// milliseconds later, or could not; the error wraps [ErrAbsent] if it is not installed.
func (r *Reaper) Start(spec Spec) (*Process, error) {
	p, err := r.start(spec)
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", spec.Name, err)
	}
	return p, nil
}

func (r *Reaper) start(spec Spec) (*Process, error) {
	if len(spec.Argv) == 0 {
		return nil, errors.New("it has no command line")
	}
	path := self
	if !spec.Self {
		var err error
		if path, err = LookUp(spec.Argv[0], spec.Env["PATH"]); err != nil {
			return nil, err
		}
	}
	attributes := &syscall.SysProcAttr{Setsid: true}
	var err error
	if attributes.Credential, err = Credential(spec.User); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 || (attributes.Credential != nil && attributes.Credential.Uid != 0) {
		attributes.AmbientCaps = spec.Caps
		if err := missing(spec.Caps); err != nil {
			return nil, err
		}
	}
	child, sync, err := startShim(spec, path, attributes)
	if err != nil {
		return nil, err
	}
	defer sync.Close()
	r.limitFiles(spec, child.Pid)
	if err := r.cgroup.daemon(spec.Name).add(child.Pid); err != nil {
		r.log.Debug("the daemon stays in the control group of the launcher", "daemon", spec.Name, "error", err)
	}
	if err := release(sync); err != nil {
		_, _ = child.Wait()
		return nil, explain(err, spec, path)
	}
	return r.watch(spec.Name, child), nil
}

// startShim starts the shim, which waits for a word over the socket that is returned.
func startShim(spec Spec, path string, attributes *syscall.SysProcAttr) (*os.Process, *os.File, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "sync"), os.NewFile(uintptr(pair[1]), "sync")
	defer theirs.Close()

	files := []*os.File{null, orNull(spec.Stdout, null), orNull(spec.Stderr, null)}
	var names []string
	for _, l := range spec.Listen {
		files = append(files, l.File)
		names = append(names, l.Name)
	}
	files = append(files, theirs)
	more := map[string]string{
		shim.EnvSync: strconv.Itoa(len(files) - 1), shim.EnvPath: path, shim.EnvDir: spec.Dir,
		shim.EnvNames: strings.Join(names, ":"), shim.EnvFiles: strconv.Itoa(spec.NOFile),
	}
	if len(spec.Caps) > 0 && len(attributes.AmbientCaps) == 0 {
		more[shim.EnvCaps] = numbers(spec.Caps)
	}
	env := environ(spec, more)
	child, err := os.StartProcess(self, spec.Argv, &os.ProcAttr{Files: files, Env: env, Sys: attributes})
	if err != nil {
		ours.Close()
		if spec.User != "" && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) {
			return nil, nil, fmt.Errorf("user %s cannot run panteras itself, which comes first: %w; let everybody execute the file (mode 0755)", spec.User, err)
		}
		return nil, nil, err
	}
	return child, ours, nil
}

// numbers is a list with commas.
func numbers(list []uintptr) string {
	var texts []string
	for _, n := range list {
		texts = append(texts, strconv.Itoa(int(n)))
	}
	return strings.Join(texts, ",")
}

func orNull(file, null *os.File) *os.File {
	if file == nil {
		return null
	}
	return file
}

// environ is the environment of the shim. It is sorted.
func environ(spec Spec, more map[string]string) []string {
	if more[shim.EnvDir] == "" {
		more[shim.EnvDir] = "/"
	}
	more[EnvDaemon] = spec.Name
	env := make([]string, 0, len(spec.Env)+len(more))
	for name, value := range spec.Env {
		if _, ours := more[name]; !ours {
			env = append(env, name+"="+value)
		}
	}
	for name, value := range more {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}

// stepError is a step of the shim that failed.
type stepError struct {
	step   string
	number syscall.Errno
}

func (e *stepError) Error() string { return e.step + ": " + e.number.Error() }

// release lets the shim go on, and returns when it has become the daemon or has
// failed; it closes its end by either.
func release(sync *os.File) error {
	if _, err := sync.Write([]byte{1}); err != nil {
		return nil // it was killed already, and how it ended tells
	}
	report, err := io.ReadAll(sync)
	step, text, found := strings.Cut(string(report), " ")
	number, notNumber := strconv.Atoi(text)
	if err != nil || !found || notNumber != nil {
		return nil
	}
	return &stepError{step, syscall.Errno(number)}
}

// explain tells an operator why the shim failed.
func explain(err error, spec Spec, path string) error {
	failed := (*stepError)(nil)
	if !errors.As(err, &failed) {
		return err
	}
	who := "panteras"
	if spec.User != "" {
		who = "user " + spec.User
	}
	if failed.step == shim.StepDir {
		return fmt.Errorf("%s cannot work in the folder %s: %w", who, spec.Dir, failed.number)
	}
	switch failed.number {
	case unix.EACCES:
		return fmt.Errorf("%s may not execute %s: %w", who, path, failed.number)
	case unix.ENOENT:
		return fmt.Errorf("cannot run %s: the interpreter that it needs%s does not exist", path, interpreter(path))
	case unix.ENOEXEC:
		return fmt.Errorf("cannot run %s: it is neither a program for this machine (%s) nor a script with #! in front", path, runtime.GOARCH)
	}
	return fmt.Errorf("cannot run %s: %w", path, failed.number)
}

// interpreter is the one that a script names, in parentheses.
func interpreter(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	head := make([]byte, 256)
	n, _ := io.ReadFull(file, head)
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	name, isScript := strings.CutPrefix(line, "#!")
	if fields := strings.Fields(name); isScript && len(fields) > 0 {
		return " (" + fields[0] + ")"
	}
	return ""
}

// limitFiles raises the limit on open files, which the shim sets, if this process has
// less itself; that takes rights which the shim may not have.
func (r *Reaper) limitFiles(spec Spec, pid int) {
	want := uint64(max(0, spec.NOFile))
	var own unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own)
	if err == nil && own.Max < want {
		err = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: want, Max: want}, nil)
	}
	if err != nil {
		r.tellLimit.Do(func() {
			r.log.Warn("cannot allow daemons as many open files as the settings say; raise the limit of panteras itself (ulimit -Hn, LimitNOFILE=, docker run --ulimit nofile=)",
				"wanted", want, "allowed", own.Max, "error", err)
		})
	}
}
