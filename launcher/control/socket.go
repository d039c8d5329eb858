package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"panteras/configs"
	"panteras/internal/statefile"

	"golang.org/x/sys/unix"
)

// SocketName is the control socket in RUN_DIR.
const SocketName = "control.sock"

// dialTimeout is how long a launcher may take to accept.
const dialTimeout = 5 * time.Second

// RunningError tells that there is a launcher already.
type RunningError struct {
	Path string
	Pid  int // 0 if unknown
}

func (e *RunningError) Error() string {
	who := "panteras is already running"
	if e.Pid > 0 {
		who += fmt.Sprintf(" (pid %d)", e.Pid)
	}
	return who + ": it listens on " + e.Path + "; stop it first, or give this one a RUN_DIR of its own"
}

// Listen opens the control socket in the folder runDir, which it makes if it is
// missing. The socket of a launcher that is no more is replaced; if there is one that
// lives, the error is a [RunningError].
func Listen(runDir string) (*net.UnixListener, error) {
	path := filepath.Join(runDir, SocketName)
	l, err := listen(runDir, path)
	if running := (*RunningError)(nil); err != nil && !errors.As(err, &running) {
		return nil, fmt.Errorf("cannot open the control socket %s: %w", path, err)
	}
	return l, err
}

func listen(runDir, path string) (*net.UnixListener, error) {
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return nil, err
	}
	// Two that start at the same time must not both find that there is none.
	unlock, err := statefile.Flock(path+".lock", unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer unlock()
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSocket == 0:
		return nil, errors.New("something that is no socket lies there; remove it")
	default:
		if pid, lives := alive(path); lives {
			return nil, &RunningError{Path: path, Pid: pid}
		}
	}
	// It gets its mode where nobody can reach it, and its name then.
	private, err := os.MkdirTemp(runDir, ".s")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(private) }()
	first := filepath.Join(private, "s")
	if n := max(len(path), len(first)); n > configs.LongestSocket {
		return nil, fmt.Errorf("the path is too long for a socket by %d bytes; give RUN_DIR a shorter one", n-configs.LongestSocket)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: first, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(first, 0o600), os.Rename(first, path)); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// alive tells whether somebody listens on a socket, and who.
func alive(path string) (pid int, lives bool) {
	c, err := net.DialTimeout("unix", path, dialTimeout)
	if err != nil {
		// A launcher that is too busy to accept lives.
		return 0, !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist)
	}
	defer func() { _ = c.Close() }()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, true
	}
	_ = raw.Control(func(fd uintptr) {
		if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(peer.Pid)
		}
	})
	return pid, true
}
