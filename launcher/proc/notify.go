package proc

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Notify is the socket, one per daemon, to which it tells what it is doing, as
// sd_notify(3) does: READY=1, STATUS=…, RELOADING=1, STOPPING=1.
type Notify struct {
	conn     *net.UnixConn
	path     string
	uid      int
	messages chan map[string]string
	quit     chan struct{}
	done     sync.WaitGroup
}

const (
	// maxSocketPath is the most that a struct sockaddr_un holds.
	maxSocketPath = 107
	// maxMessage is the most that one message may have, in bytes.
	maxMessage = 16 << 10
	// maxFiles is how many descriptors the kernel lets one message carry (SCM_MAX_FD).
	maxFiles = 253
)

// NewNotify makes the socket at path, where only that user and root can write to it.
// The folder must exist, and the user must be able to reach it. Where path is too long
// for a socket (107 bytes), the socket gets an abstract name (unix(7)) instead, see
// [Notify.Path].
func NewNotify(path string, uid, gid int) (*Notify, error) {
	if len(path) > maxSocketPath {
		path = "@panteras-" + rand.Text() + "-" + tail(filepath.Base(filepath.Dir(path)))
	} else if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot replace the notify socket: %w", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		return nil, fmt.Errorf("cannot make the notify socket: %w", err)
	}
	n := newNotify(conn, path, uid)
	if path[0] != '@' {
		err = errors.Join(os.Chmod(path, 0o600), os.Lchown(path, uid, gid))
	}
	if err == nil {
		err = n.start()
	}
	if err != nil {
		n.Close()
		return nil, fmt.Errorf("cannot prepare the notify socket: %w", err)
	}
	return n, nil
}

// tail is the end of a daemon's name, as far as an abstract name has room for it.
func tail(name string) string { return name[max(0, len(name)-32):] }

// AdoptNotify goes on with a socket of before this program was executed anew in place:
// the file that [Notify.Detach] gave, and Path. It closes the file.
func AdoptNotify(file *os.File, path string, uid int) (*Notify, error) {
	defer file.Close()
	conn, err := net.FilePacketConn(file)
	if err != nil {
		return nil, fmt.Errorf("cannot go on with the notify socket %s: %w", path, err)
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("cannot go on with the notify socket %s: it is a socket of another kind", path)
	}
	n := newNotify(unixConn, path, uid)
	if err := n.start(); err != nil {
		n.Close()
		return nil, fmt.Errorf("cannot go on with the notify socket %s: %w", path, err)
	}
	return n, nil
}

func newNotify(conn *net.UnixConn, path string, uid int) *Notify {
	return &Notify{conn: conn, path: path, uid: uid, messages: make(chan map[string]string, 16), quit: make(chan struct{})}
}

// start begins to read. Senders are named by the kernel.
func (n *Notify) start() error {
	raw, err := n.conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	n.done.Go(n.read)
	return nil
}

// Path is the value for NOTIFY_SOCKET.
func (n *Notify) Path() string { return n.path }

// Messages are what the daemon says, as a map such as {"READY": "1", "STATUS": "…"}. Only
// what the daemon's user, root and the user of this process send is taken. It is closed
// by Close.
func (n *Notify) Messages() <-chan map[string]string { return n.messages }

// Detach ends the reading, and gives the socket away: what comes from now on waits for
// the next reader. All that was read has been delivered when Messages is closed.
func (n *Notify) Detach() (*os.File, error) {
	file, err := n.conn.File()
	if err != nil {
		return nil, fmt.Errorf("cannot give the notify socket %s away: %w", n.path, err)
	}
	_ = n.conn.SetReadDeadline(time.Unix(1, 0))
	n.done.Wait()
	n.conn.Close()
	close(n.messages)
	return file, nil
}

// Close ends the reading and removes the socket. It must not be called after Detach.
func (n *Notify) Close() {
	close(n.quit)
	n.conn.Close()
	n.done.Wait()
	close(n.messages)
	if n.path[0] != '@' {
		_ = os.Remove(n.path)
	}
}

func (n *Notify) read() {
	message := make([]byte, maxMessage)
	control := make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(maxFiles*4))
	for {
		size, controlSize, flags, _, err := n.conn.ReadMsgUnix(message, control)
		if err != nil {
			return // closed, or given away
		}
		sender, known := credentials(control[:controlSize])
		if !known || flags&unix.MSG_TRUNC != 0 || !n.trusts(sender) {
			continue
		}
		fields := parseMessage(string(message[:size]))
		if len(fields) == 0 {
			continue
		}
		select {
		case n.messages <- fields:
		case <-n.quit:
			return
		}
	}
}

func (n *Notify) trusts(uid uint32) bool {
	return uid == 0 || int(uid) == n.uid || int(uid) == os.Geteuid()
}

// credentials tells who sent a message, and closes the descriptors that came with it:
// there is no store for them here. That is also how sd_notify_barrier(3) knows that
// what was sent before has been read.
func credentials(control []byte) (uid uint32, known bool) {
	parts, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0, false
	}
	for _, part := range parts {
		if cred, err := unix.ParseUnixCredentials(&part); err == nil {
			uid, known = cred.Uid, true
		}
		if files, err := unix.ParseUnixRights(&part); err == nil {
			for _, fd := range files {
				_ = unix.Close(fd)
			}
		}
	}
	return uid, known
}

// parseMessage reads lines NAME=value; others are left out.
func parseMessage(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.SplitSeq(text, "\n") {
		if name, value, found := strings.Cut(line, "="); found && isName(name) {
			fields[name] = strings.ToValidUTF8(value, "\uFFFD")
		}
	}
	return fields
}

// isName tells whether it is a name as sd_notify(3) has them: capitals, digits, _.
func isName(name string) bool {
	return name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}
