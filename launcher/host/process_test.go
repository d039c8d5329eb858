package host

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// say is what a daemon tells its notify socket.
func say(t *testing.T, path, text string) {
	t.Helper()
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func wantReady(t *testing.T, r *readiness) {
	t.Helper()
	select {
	case <-r.Notified():
	case <-time.After(20 * time.Second):
		t.Fatal("what the daemon said is lost")
	}
}

func TestReadinessSurvivesAnUpgrade(t *testing.T) {
	for _, when := range []string{"before", "between"} {
		t.Run(when, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), notifyPrefix+"x")
			old, err := newReadiness(path, owner{os.Geteuid(), os.Getegid()})
			if err != nil {
				t.Fatal(err)
			}
			if when == "before" {
				say(t, path, "READY=1")
			}
			file, ready, err := old.detach()
			if err != nil {
				t.Fatal(err)
			}
			if when == "between" {
				if ready {
					t.Error("ready before it was said")
				}
				say(t, path, "READY=1")
			}
			next := &readiness{path: path, uid: os.Geteuid(), ready: make(chan struct{})}
			if ready {
				close(next.ready)
			}
			if err := next.attach(file); err != nil {
				t.Fatal(err)
			}
			wantReady(t, next)
			next.close()
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("the socket is left: %v", err)
			}
		})
	}
}

func TestReadinessGoesOnWhereAnUpgradeFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), notifyPrefix+"x")
	r, err := newReadiness(path, owner{os.Geteuid(), os.Getegid()})
	if err != nil {
		t.Fatal(err)
	}
	file, _, err := r.detach()
	if err != nil {
		t.Fatal(err)
	}
	say(t, path, "READY=1")
	if err := r.attach(file); err != nil {
		t.Fatal(err)
	}
	wantReady(t, r)
	file, ready, err := r.detach()
	if err != nil || !ready {
		t.Errorf("the second time: ready %t, %v", ready, err)
	}
	r.close() // the daemon ends meanwhile
	if err := r.attach(file); err != nil {
		t.Error(err)
	}
	if _, _, err := r.detach(); err == nil {
		t.Error("a closed one was given away")
	}
}
