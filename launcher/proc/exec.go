package proc

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exec replaces this program by the one at path, in the same process: its children stay
// its children, and the files stay open under their numbers (File.Fd). It returns only
// if that failed, and then the files are closed on exec as before.
func Exec(path string, argv, env []string, files []*os.File) error {
	for _, file := range files {
		if _, err := unix.FcntlInt(file.Fd(), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	err := syscall.Exec(path, argv, env)
	for _, file := range files {
		unix.CloseOnExec(int(file.Fd()))
	}
	return &os.PathError{Op: "exec", Path: path, Err: err}
}
