package guard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"panteras/launcher"
	"panteras/launcher/proc"

	"golang.org/x/sys/unix"
)

// What launcher and guard say to each other, a packet each.
const (
	requestReady = "ready"
	requestExec  = "exec "
	replyDone    = "done"
)

const (
	// envLink is the number of the launcher's descriptor of the link.
	envLink = "PANTERAS_LINK"
	// stateCheck, as the value of envResume, asks a program whether it can take over.
	stateCheck = "check"
	// protocol is the answer.
	protocol = "panteras guard 1"
)

// upgradeTimeout is how long a new image of the guard may take to report.
const upgradeTimeout = 20 * time.Second

// Link is the launcher's end of the connection to its guard.
type Link struct {
	file     *os.File
	replies  chan string
	floating atomic.Pointer[launcher.Floating]
}

// Child returns the link to the guard that started this process as its launcher; false
// if none did. When the guard is gone, every process below this one is killed, and this
// one ends with code 1.
func Child() (*Link, bool) {
	text, given := os.LookupEnv(envLink)
	if !given {
		return nil, false
	}
	_ = os.Unsetenv(envLink)
	fd, err := strconv.Atoi(text)
	if err != nil {
		return nil, false
	}
	// The number may have come with an environment from elsewhere.
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil || int(peer.Pid) != os.Getppid() {
		return nil, false
	}
	unix.CloseOnExec(fd)
	_ = unix.SetNonblock(fd, true)
	l := &Link{file: os.NewFile(uintptr(fd), "link"), replies: make(chan string, 1)}
	go func() {
		receive(l.file, func(reply string) {
			select {
			case l.replies <- reply:
			default: // nobody waits for it any more
			}
		})
		proc.KillDescendants(killTimeout, func() {})
		if f := l.floating.Load(); f != nil {
			drop(*f)
		}
		// Last, because where nobody reads stderr any more this is the end.
		fmt.Fprintln(os.Stderr, "panteras: the guard (parent process) has gone; all daemons have been killed")
		os.Exit(1)
	}()
	return l, true
}

// receive passes packets on until the other end is closed.
func receive(link *os.File, packet func(string)) {
	buffer := make([]byte, 8<<10)
	for {
		n, err := link.Read(buffer)
		if err != nil {
			return
		}
		packet(string(buffer[:n]))
	}
}

// Ready tells the guard that this process has arranged for signals: until then, they
// are held back for some seconds. It is to be called as well when an upgrade has failed.
func (l *Link) Ready() {
	_, _ = l.file.WriteString(requestReady) // without a guard there is no process
}

// Upgrade makes the guard go on as the program at path, in the same process, or tells
// why it does not. From then on it holds signals back, until [Link.Ready], which the new
// image of the launcher should call. A signal that has reached this image before and
// that it will not see to can be sent to the guard again.
func (l *Link) Upgrade(ctx context.Context, path string) error {
	if err := check(ctx, path); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, upgradeTimeout)
	defer cancel()
	select {
	case <-l.replies: // late, to a request before this one
	default:
	}
	if _, err := l.file.WriteString(requestExec + path); err != nil {
		return fmt.Errorf("cannot speak to the guard: %w", err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("the guard does not answer: %w", ctx.Err())
	case reply := <-l.replies:
		if reply != replyDone {
			return errors.New("the guard goes on as it was: " + reply)
		}
		return nil
	}
}

// check asks a program whether it can go on as a guard.
func check(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, upgradeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = []string{envResume + "=" + stateCheck}
	cmd.WaitDelay = time.Second
	answer, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("cannot run %s: %w", path, err)
	}
	if strings.TrimSpace(string(answer)) != protocol {
		return fmt.Errorf("%s is no panteras that can go on where this one stops (wanted %q of it)", path, protocol)
	}
	return nil
}

// File is the descriptor to keep open when this process executes a program in place
// ([proc.Exec]), and Env the entry of its environment that says which it is.
func (l *Link) File() *os.File { return l.file }

// Env goes with File.
func (l *Link) Env() string { return fmt.Sprintf("%s=%d", envLink, l.file.Fd()) }
