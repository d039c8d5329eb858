// Package shim turns a process of this program into a daemon: between fork and the
// daemon's own program, it sets what only the process itself can set (LISTEN_PID,
// signals, its folder) and what it must not have (inherited descriptors).
//
// Importing the package is enough. Its work is done by an init that needs nothing
// but the packages syscall and strconv: such an init runs before those of nearly all
// other packages of a program, which take several times as long as the shim. (Package
// strings alone would put it behind most of them.)
package shim

import (
	"strconv"
	"syscall"
	"unsafe"
)

// The environment of a shim beside that of the daemon, which does not see it.
const (
	// EnvSync is the number of the descriptor over which the starter says go, and
	// the shim what went wrong. Descriptors from 3 to the one before it are handed
	// over to the daemon.
	EnvSync = "PANTERAS_SHIM_SYNC"
	// EnvPath is the file to execute.
	EnvPath = "PANTERAS_SHIM_PATH"
	// EnvDir is the folder to work in.
	EnvDir = "PANTERAS_SHIM_DIR"
	// EnvNames are the names of the descriptors handed over, for LISTEN_FDNAMES.
	EnvNames = "PANTERAS_SHIM_NAMES"
	// EnvFiles is how many files may be open; 0 leaves the limit as it is.
	EnvFiles = "PANTERAS_SHIM_FILES"
	// EnvCaps are the numbers of the only capabilities that a daemon of root may have,
	// separated by commas; without it, it has all.
	EnvCaps = "PANTERAS_SHIM_CAPS"
)

// The steps that can fail. A failure is reported as "step errno".
const (
	StepDir  = "chdir"
	StepExec = "exec"
)

const firstListener = 3

func init() {
	if text, ok := syscall.Getenv(EnvSync); ok {
		if sync, err := strconv.Atoi(text); err == nil && sync >= firstListener {
			become(sync)
		}
	}
}

// become executes the daemon, or tells why it cannot and ends.
func become(sync int) {
	path, _ := syscall.Getenv(EnvPath)
	dir, _ := syscall.Getenv(EnvDir)
	env := environment(sync)
	closeOnExec(sync)
	resetSignals()
	syscall.Umask(0o022)

	// The starter raises limits and sets the control group from outside, where it has
	// the rights to.
	if n, err := ignoringEINTR(func() (int, error) { return syscall.Read(sync, make([]byte, 1)) }); n != 1 || err != nil {
		syscall.Exit(1) // it has gone
	}
	limitFiles()
	boundCapabilities()
	if err := syscall.Chdir(dir); err != nil {
		fail(sync, StepDir, err)
	}
	fail(sync, StepExec, syscall.Exec(path, arguments(), env))
}

// environment is that of the daemon.
func environment(sync int) []string {
	var env []string
	for _, entry := range syscall.Environ() {
		switch name, _ := cut(entry, '='); name {
		case EnvSync, EnvPath, EnvDir, EnvNames, EnvFiles, EnvCaps:
		default:
			env = append(env, entry)
		}
	}
	if n := sync - firstListener; n > 0 {
		names, _ := syscall.Getenv(EnvNames)
		env = append(env,
			"LISTEN_FDS="+strconv.Itoa(n), "LISTEN_FDNAMES="+names, "LISTEN_PID="+strconv.Itoa(syscall.Getpid()))
	}
	return env
}

// arguments is os.Args, which does not exist yet.
func arguments() []string {
	var raw []byte
	fd, err := syscall.Open("/proc/self/cmdline", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	buffer := make([]byte, 64<<10)
	for {
		n, err := ignoringEINTR(func() (int, error) { return syscall.Read(fd, buffer) })
		if n <= 0 || err != nil {
			break
		}
		raw = append(raw, buffer[:n]...)
	}
	var list []string
	for rest := string(raw); rest != ""; {
		var argument string
		argument, rest = cut(rest, 0)
		list = append(list, argument)
	}
	return list
}

// cut is what is before the first separator and what is behind it.
func cut(text string, separator byte) (before, after string) {
	for i := range len(text) {
		if text[i] == separator {
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

// closeOnExec leaves the daemon the descriptors that are for it, and no other: whoever
// started this program may have left some open.
func closeOnExec(first int) {
	fd, err := syscall.Open("/proc/self/fd", syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer syscall.Close(fd)
	buffer := make([]byte, 8<<10)
	for {
		n, err := syscall.ReadDirent(fd, buffer)
		if n <= 0 || err != nil {
			return
		}
		_, _, names := syscall.ParseDirent(buffer[:n], -1, nil)
		for _, name := range names {
			if open, err := strconv.Atoi(name); err == nil && open >= first {
				syscall.CloseOnExec(open)
			}
		}
	}
}

// resetSignals undoes what a daemon would inherit: ignored signals (nohup(1) ignores
// SIGHUP) and blocked ones.
func resetSignals() {
	const lastSignal, setMask, setSize = 64, 2, 8
	var zero [64]byte // SIG_DFL in every architecture's struct sigaction, and the empty set
	for sig := uintptr(1); sig <= lastSignal; sig++ {
		syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&zero)), 0, setSize, 0, 0)
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&zero)), 0, setSize, 0, 0)
}

// limitFiles sets the soft and the hard limit on open files, as far as the hard one
// allows.
func limitFiles() {
	text, _ := syscall.Getenv(EnvFiles)
	want, err := strconv.ParseUint(text, 10, 64)
	if err != nil || want == 0 {
		return
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		limit.Max = min(limit.Max, want)
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
}

// boundCapabilities drops all capabilities but some from those that execve gives to
// root. Where this process may not do that, it has few anyway.
func boundCapabilities() {
	list, bound := syscall.Getenv(EnvCaps)
	if !bound {
		return
	}
	const dropFromBound, lastCapability = 24, 63 // PR_CAPBSET_DROP
	var keep uint64
	for list != "" {
		var one string
		one, list = cut(list, ',')
		if n, err := strconv.Atoi(one); err == nil && n <= lastCapability {
			keep |= 1 << n
		}
	}
	for n := uintptr(0); n <= lastCapability; n++ {
		if keep&(1<<n) == 0 {
			syscall.RawSyscall(syscall.SYS_PRCTL, dropFromBound, n, 0)
		}
	}
}

// fail reports to the starter and ends.
func fail(sync int, step string, err error) {
	number, _ := err.(syscall.Errno)
	_, _ = syscall.Write(sync, []byte(step+" "+strconv.Itoa(int(number))))
	syscall.Exit(1)
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != syscall.EINTR {
			return n, err
		}
	}
}
