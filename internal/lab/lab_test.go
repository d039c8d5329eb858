package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain lets the test binary play the program that a lab starts.
func TestMain(m *testing.M) {
	switch os.Getenv("LAB_PLAYS") {
	case "":
		goleak.VerifyTestMain(m)
	case "server":
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM) // before it says ready: the signal may come at once
		fmt.Fprintln(os.Stderr, "ready, environment:", os.Environ())
		<-stop
		os.Exit(3)
	case "failure":
		fmt.Fprintln(os.Stderr, "cannot listen")
		os.Exit(1)
	}
}

// itself returns the path of the test binary.
func itself(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAProcessIsReadyAndStops(t *testing.T) {
	t.Setenv("LAB_LEAK", "from outside")
	p := launch(t, itself(t), PanterasOptions{Env: []string{"LAB_PLAYS=server"}, ReadyLine: regexp.MustCompile(`(?m)^ready`)})
	if strings.Contains(p.Stderr(), "LAB_LEAK") {
		t.Errorf("the environment of the test leaked: %s", p.Stderr())
	}
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(t, time.Minute); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	<-p.Done()
	if code := p.Stop(t); code != 3 {
		t.Errorf("exit code %d after Stop, want 3 still", code)
	}
	if p.Stdout() != "" {
		t.Errorf("stdout: %q", p.Stdout())
	}
}

func TestAProcessIsGoneAfterItsTest(t *testing.T) {
	var pid int
	t.Run("test", func(t *testing.T) {
		pid = launch(t, itself(t), PanterasOptions{Env: []string{"LAB_PLAYS=server"}}).Pid()
		if err := syscall.Kill(pid, 0); err != nil {
			t.Fatalf("process %d does not run: %v", pid, err)
		}
	})
	if err := syscall.Kill(pid, 0); err == nil {
		t.Errorf("process %d outlived its test", pid)
	}
}

func TestAProcessThatEndsEarlyFailsTheTest(t *testing.T) {
	t.Parallel()
	message := failure(t, func(t testing.TB) {
		launch(t, itself(t), PanterasOptions{Env: []string{"LAB_PLAYS=failure"}, ReadyLine: regexp.MustCompile("ready"), Timeout: time.Minute})
	})
	if !strings.Contains(message, "cannot listen") || !strings.Contains(message, "exit status 1") {
		t.Errorf("the failure does not say why: %q", message)
	}
}

func TestEventuallyNamesWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	message := failure(t, func(t testing.TB) {
		Eventually(t, time.Millisecond, "pigs to fly", func() bool { return false })
	})
	if !strings.Contains(message, "pigs to fly") {
		t.Errorf("the failure does not say what was waited for: %q", message)
	}
	calls := 0
	Eventually(t, time.Minute, "the third look", func() bool { calls++; return calls == 3 })
}

func TestPanterasRunsTheBinary(t *testing.T) {
	t.Parallel()
	p := Panteras(t, PanterasOptions{Args: []string{"version"}})
	if code := p.Wait(t, time.Minute); code != 0 || !strings.Contains(p.Stdout(), "panteras ") {
		t.Errorf("exit code %d, stdout %q", code, p.Stdout())
	}
}

func TestAProcessIsReadyWhenItsPortAnswers(t *testing.T) {
	t.Parallel()
	upstream := NewUpstream(t, Script(Reply()))
	upstream.Pause()
	done := make(chan struct{})
	go func() {
		defer close(done)
		launch(t, itself(t), PanterasOptions{Env: []string{"LAB_PLAYS=server"}, ReadyDNS: upstream.Addr})
	}()
	Eventually(t, time.Minute, "the first try", func() bool { return upstream.Stats().UDP > 0 })
	select {
	case <-done:
		t.Error("ready before the port answered")
	default:
	}
	upstream.Resume()
	<-done
}

func TestPanterasHasToBeBuilt(t *testing.T) {
	t.Parallel()
	message := failure(t, func(t testing.TB) { builtBinary(t, "no-such-program", "build") })
	if !strings.Contains(message, "make build") {
		t.Errorf("the failure does not say what to do: %q", message)
	}
}

func TestPortsAreFreeAndDistinct(t *testing.T) {
	t.Parallel()
	const n = 50
	var mu sync.Mutex
	var wg sync.WaitGroup
	given := map[uint16]bool{}
	for range n {
		wg.Go(func() {
			port := Port(t)
			addr := netip.AddrPortFrom(netip.IPv4Unspecified(), port)
			var udp *net.UDPConn
			var tcp *net.TCPListener
			var err error
			settled(func() bool { udp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr)); return err == nil })
			if err != nil {
				t.Error(err)
				return
			}
			defer udp.Close()
			settled(func() bool { tcp, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr)); return err == nil })
			if err != nil {
				t.Error(err)
				return
			}
			defer tcp.Close()
			mu.Lock()
			defer mu.Unlock()
			given[port] = true
		})
	}
	wg.Wait()
	if len(given) != n {
		t.Errorf("%d ports given to %d askers", len(given), n)
	}
}

// settled waits until f holds. A program that another test starts has copies of
// our sockets until it runs, closed or not.
func settled(f func() bool) bool { return poll(20*time.Second, f) }

func TestAPortInUseIsNotGiven(t *testing.T) {
	t.Parallel()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	port := udp.LocalAddr().(*net.UDPAddr).Port
	if lock, ok := take(port); ok {
		lock.Close()
		t.Errorf("port %d is in use on one address and was given", port)
	}
}

func TestAPortIsReservedUntilItsTestIsOver(t *testing.T) {
	t.Parallel()
	var port int
	t.Run("test", func(t *testing.T) {
		port = int(Port(t))
		if lock, ok := take(port); ok {
			lock.Close()
			t.Errorf("port %d was given twice", port)
		}
	})
	if !settled(func() bool {
		lock, ok := take(port)
		if ok {
			lock.Close()
		}
		return ok
	}) {
		t.Fatalf("port %d is reserved after its test", port)
	}
}

// failure runs what should fail a test, and returns how it did.
func failure(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	fake := &fakeTB{TB: t}
	done := make(chan struct{})
	go func() { // Fatalf ends the goroutine, as that of testing does
		defer close(done)
		f(fake)
	}()
	<-done
	if fake.message == "" {
		t.Fatal("it did not fail")
	}
	return fake.message
}

// fakeTB is a test that records its failure, and cleans up with the real one.
type fakeTB struct {
	testing.TB
	message string
}

func (f *fakeTB) Helper() {}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
