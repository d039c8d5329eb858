package proc

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"panteras/internal/lab"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// send tells NOTIFY_SOCKET what PROC_SAYS, and fails where it cannot.
func send() {
	if sent, err := daemon.SdNotify(false, os.Getenv("PROC_SAYS")); err != nil || !sent {
		fmt.Fprintln(os.Stderr, "cannot notify:", err)
		os.Exit(1)
	}
}

const nobody = 65534

// notifyIn makes a socket in a folder that everybody can reach.
func notifyIn(t *testing.T, dir string, uid int) *Notify {
	t.Helper()
	n, err := NewNotify(filepath.Join(dir, "notify"), uid, uid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// reachable makes a folder, with a short path, that everybody can reach.
func reachable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// says runs a program of a user that tells the socket something, and returns its exit
// code.
func says(t *testing.T, n *Notify, user, text string) int {
	t.Helper()
	p := run(t, newReaper(t), Spec{
		Name: t.Name(), Self: true, Argv: []string{"sender"}, User: user, Stderr: os.Stderr,
		Env: map[string]string{"PROC_PLAYS": "sender", "PROC_SAYS": text, "NOTIFY_SOCKET": n.Path()},
	})
	return await(t, p.Exited(), "the end of the sender").Code
}

func TestADaemonTellsThatItIsReady(t *testing.T) {
	needRoot(t)
	t.Parallel()
	n := notifyIn(t, reachable(t), nobody)
	if code := says(t, n, "nobody", "READY=1\nSTATUS=serving names\n"); code != 0 {
		t.Fatalf("the sender: exit code %d", code)
	}
	got := await(t, n.Messages(), "the message")
	if diff := cmp.Diff(map[string]string{"READY": "1", "STATUS": "serving names"}, got); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

// HAProxy's worker, or a script with systemd-notify, says it for the main process.
func TestAChildOfTheDaemonMayTell(t *testing.T) {
	t.Parallel()
	n := notifyIn(t, reachable(t), 0)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	spec := shell(t.Name(), "setsid "+binary+" & wait")
	for name, value := range map[string]string{"PROC_PLAYS": "sender", "PROC_SAYS": "READY=1", "NOTIFY_SOCKET": n.Path()} {
		spec.Env[name] = value
	}
	run(t, newReaper(t), spec)
	if got := await(t, n.Messages(), "the message"); got["READY"] != "1" {
		t.Errorf("message %v", got)
	}
}

func TestOthersAreNotHeard(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := reachable(t)
	n := notifyIn(t, dir, 4242)
	if code := says(t, n, "nobody", "READY=1\nSTATUS=forged"); code == 0 {
		t.Error("another user can write to the socket")
	}
	// Even where the file lets it through, the kernel tells who it is.
	if err := os.Chmod(n.Path(), 0o666); err != nil {
		t.Fatal(err)
	}
	if code := says(t, n, "nobody", "READY=1\nSTATUS=forged"); code != 0 {
		t.Fatalf("the sender: exit code %d", code)
	}
	says(t, n, "4242", "STATUS=true")
	if got := await(t, n.Messages(), "the message"); got["STATUS"] != "true" {
		t.Errorf("message %v", got)
	}
}

func TestGarbageIsNoMessage(t *testing.T) {
	t.Parallel()
	dir := reachable(t)
	n := notifyIn(t, dir, 0)
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: n.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	files := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		opened := 0
		for _, name := range names {
			if target, _ := os.Readlink("/proc/self/fd/" + name.Name()); target == os.DevNull {
				opened++
			}
		}
		return opened
	}
	before := files()
	for _, garbage := range [][]byte{{}, {0}, []byte("\n\n=\n=x\nlower=1\nRE ADY=1"), bytes.Repeat([]byte{0xff}, 1000), []byte("READY=1\n" + strings.Repeat("x", maxMessage))} {
		if _, err := conn.Write(garbage); err != nil {
			t.Fatal(err)
		}
	}
	// Descriptors that come along are closed.
	raw, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := unix.Sendmsg(int(raw.Fd()), []byte("FDSTORE=1\nSTATUS=\xff"), unix.UnixRights(int(null.Fd()), int(null.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	got := await(t, n.Messages(), "the message")
	if diff := cmp.Diff(map[string]string{"FDSTORE": "1", "STATUS": "\uFFFD"}, got); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	lab.Eventually(t, patience, "descriptors to be closed", func() bool { return files() <= before })
}

func TestASocketThatNobodyReadsIsClosed(t *testing.T) {
	t.Parallel()
	n, err := NewNotify(filepath.Join(reachable(t), "notify"), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: n.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 * cap(n.messages) {
		if _, err := conn.Write([]byte("WATCHDOG=1")); err != nil {
			t.Fatal(err)
		}
		if len(n.messages) == cap(n.messages) {
			break
		}
	}
	n.Close()
	if _, err := os.Stat(n.Path()); err == nil {
		t.Error("the socket is left")
	}
}

func TestALongPathIsNoTrouble(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := filepath.Join(reachable(t), strings.Repeat("long", 30), "some-daemon")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	n := notifyIn(t, dir, nobody)
	if len(n.Path()) > maxSocketPath || !strings.HasSuffix(n.Path(), "-some-daemon") {
		t.Errorf("the path is %q", n.Path())
	}
	says(t, n, "4242", "STATUS=forged")
	says(t, n, "nobody", "STATUS=true")
	if got := await(t, n.Messages(), "the message"); got["STATUS"] != "true" {
		t.Errorf("message %v", got)
	}
}

func TestASocketIsReplacedAndHandedOver(t *testing.T) {
	t.Parallel()
	dir := reachable(t)
	stale, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: filepath.Join(dir, "notify")})
	if err != nil {
		t.Fatal(err)
	}
	stale.Close() // leaves its file
	old, err := NewNotify(filepath.Join(dir, "notify"), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	says(t, old, "", "STATUS=early")
	if got := await(t, old.Messages(), "the message"); got["STATUS"] != "early" {
		t.Errorf("message %v", got)
	}
	file, err := old.Detach()
	if err != nil {
		t.Fatal(err)
	}
	if got, open := <-old.Messages(); open {
		t.Errorf("after it was given away: message %v", got)
	}
	says(t, old, "", "READY=1") // while nobody reads
	adopted, err := AdoptNotify(file, old.Path(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer adopted.Close()
	if got := await(t, adopted.Messages(), "what was said meanwhile"); got["READY"] != "1" {
		t.Errorf("message %v", got)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := AdoptNotify(null, "x", 0); err == nil {
		t.Error("/dev/null was adopted as a socket")
	}
}

func TestANotifySocketThatCannotBeSaysWhy(t *testing.T) {
	t.Parallel()
	if _, err := NewNotify("/no/folder/notify", 0, 0); err == nil || !strings.Contains(err.Error(), "/no/folder/notify") {
		t.Errorf("error: %v", err)
	}
}
