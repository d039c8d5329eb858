package lab

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespaces are the ones that tests move into, a thread at a time.
var namespaces = []struct {
	path string
	flag int
}{
	{"/proc/thread-self/ns/net", unix.CLONE_NEWNET},
	{"/proc/thread-self/ns/mnt", unix.CLONE_NEWNS},
}

// onOwnThread runs f, and after it stay, on a thread that nothing else ever
// runs on, in the namespaces of the caller's. It returns when f has.
//
// The kernel takes the thread that started a program for its parent: with
// Pdeathsig the program dies with it. A thread of Go's own may end at any time,
// when a test that has locked it (to enter a namespace) is over.
func onOwnThread(f func() error, stay func()) error {
	var callers []*os.File
	defer func() {
		for _, ns := range callers {
			_ = ns.Close()
		}
	}()
	for _, ns := range namespaces {
		file, err := os.Open(ns.path)
		if err != nil {
			return err
		}
		callers = append(callers, file)
	}
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		for i, ns := range namespaces {
			if err := enterNamespace(callers[i], ns.path, ns.flag); err != nil {
				result <- err
				return
			}
		}
		err := f()
		result <- err
		if err == nil {
			stay()
		}
	}()
	return <-result
}

// enterNamespace moves the thread into a namespace unless it is there already,
// as all are whose test did not move: only root may.
func enterNamespace(ns *os.File, path string, flag int) error {
	var want, have unix.Stat_t
	if err := unix.Fstat(int(ns.Fd()), &want); err != nil {
		return err
	}
	if err := unix.Stat(path, &have); err != nil {
		return err
	}
	if want.Dev == have.Dev && want.Ino == have.Ino {
		return nil
	}
	if flag == unix.CLONE_NEWNS { // threads share their working folder, which lies in one namespace
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
	}
	return unix.Setns(int(ns.Fd()), flag)
}
