package restart

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
)

// middle is the random number that leaves a delay as it is.
func middle() float64 { return 0.5 }

// failed is an ordinary failure.
var failed = Exit{Code: 1, Ran: 10 * time.Second}

func TestDecide(t *testing.T) {
	long := 5 * time.Minute
	for _, test := range []struct {
		what     string
		daemon   string
		exit     Exit
		failures int
		want     Decision // Reason is a piece of it
	}{
		{"first failure", "consul", failed, 0, Decision{AfterDelay, time.Second, "exit code 1", 1}},
		{"second failure", "consul", failed, 1, Decision{AfterDelay, 2 * time.Second, "exit code 1", 2}},
		{"sixth failure", "consul", failed, 5, Decision{AfterDelay, 32 * time.Second, "exit code 1", 6}},
		{"seventh failure", "consul", failed, 6, Decision{AfterDelay, time.Minute, "exit code 1", 7}},
		{"never given up", "consul", failed, 1 << 40, Decision{AfterDelay, time.Minute, "exit code 1", 1<<40 + 1}},
		{"ended by itself", "haproxy", Exit{Code: 0, Ran: long, WasReady: true}, 0, Decision{AfterDelay, time.Second, "ended by itself", 1}},

		{"healthy for long enough", "consul", Exit{Code: 1, Ran: Healthy, WasReady: true}, 6, Decision{AfterDelay, time.Second, "exit code 1", 1}},
		{"not for long enough", "consul", Exit{Code: 1, Ran: Healthy - 1, WasReady: true}, 6, Decision{AfterDelay, time.Minute, "exit code 1", 7}},
		{"long, but never ready", "consul", Exit{Code: 1, Ran: long}, 6, Decision{AfterDelay, time.Minute, "exit code 1", 7}},

		{"signal", "consul", Exit{Signal: syscall.SIGSEGV, Ran: long}, 0, Decision{AfterDelay, time.Second, "killed by SIGSEGV", 1}},
		{"out of memory", "marathon", Exit{Signal: syscall.SIGKILL, Ran: long}, 1, Decision{AfterDelay, 2 * time.Second, "memory ran out", 2}},
		{"a signal is no exit code", "marathon", Exit{Code: 111, Signal: syscall.SIGTERM}, 0, Decision{AfterDelay, time.Second, "killed by SIGTERM", 1}},
		{"signal without a name", "consul", Exit{Signal: 63}, 0, Decision{AfterDelay, time.Second, "killed by signal 63", 1}},
		{"Java after SIGTERM", "zookeeper", Exit{Code: 143, Ran: long}, 0, Decision{AfterDelay, time.Second, "which stands for SIGTERM", 1}},

		{"Marathon lost the leadership", "marathon", Exit{Code: 103, Ran: long, WasReady: true}, 0, Decision{AtOnce, 0, "lost the leadership", 0}},
		{"Marathon gave it up", "marathon", Exit{Code: 105, Ran: 2 * time.Second}, 0, Decision{AtOnce, 0, "gave up the leadership", 0}},
		{"that neither counts nor forgives", "marathon", Exit{Code: 103, Ran: 20 * time.Second, WasReady: true}, 4, Decision{AtOnce, 0, "103", 4}},
		{"103 right after the start", "marathon", Exit{Code: 103, Ran: time.Millisecond}, 0, Decision{AtOnce, 0, "103", 1}},
		{"and again", "marathon", Exit{Code: 103, Ran: time.Millisecond}, 1, Decision{AfterDelay, 2 * time.Second, "103", 2}},
		{"103 of another daemon", "chronos", Exit{Code: 103, Ran: long}, 0, Decision{AfterDelay, time.Second, "exit code 103", 1}},
		{"Marathon's port is taken", "marathon", Exit{Code: 111, Ran: time.Second}, 0, Decision{Final, 0, "--http_port in MARATHON_PARAMS", 1}},
		{"Marathon's flags", "marathon", Exit{Code: 112, Ran: long, WasReady: true}, 3, Decision{Final, 0, "correct MARATHON_PARAMS", 1}},
		{"Marathon without ZooKeeper", "marathon", Exit{Code: 100, Ran: long}, 0, Decision{AfterDelay, time.Second, "ZooKeeper cannot be reached", 1}},
		{"111 of another daemon", "consul", Exit{Code: 111}, 0, Decision{AfterDelay, time.Second, "exit code 111", 1}},

		{"consul-template's flags", "consul-template", Exit{Code: 13}, 0, Decision{Final, 0, "CONSUL_TEMPLATE_PARAMS", 1}},
		{"ZooKeeper's configuration", "zookeeper", Exit{Code: 2}, 0, Decision{Final, 0, "ZOOKEEPER_HOSTS", 1}},
		{"2 may be a crash", "registrator", Exit{Code: 2}, 0, Decision{AfterDelay, time.Second, "REGISTRATOR_PARAMS", 1}},
		{"2 for the second time", "registrator", Exit{Code: 2}, 1, Decision{AfterDelay, 2 * time.Second, "REGISTRATOR_PARAMS", 2}},
		{"2 for the third time", "registrator", Exit{Code: 2}, 2, Decision{Final, 0, "REGISTRATOR_PARAMS", 3}},

		{"DNS was killed", "dns", Exit{Signal: syscall.SIGKILL, Ran: long, WasReady: true}, 0, Decision{AtOnce, 0, "SIGKILL", 1}},
		{"soon after its start", "dns", Exit{Signal: syscall.SIGKILL, Ran: time.Second, WasReady: true}, 2, Decision{AtOnce, 0, "SIGKILL", 3}},
		{"too often", "dns", Exit{Signal: syscall.SIGKILL, Ran: time.Second, WasReady: true}, 3, Decision{AfterDelay, time.Second, "SIGKILL", 4}},
		{"much too often", "dns", Exit{Signal: syscall.SIGKILL, Ran: time.Second, WasReady: true}, 5, Decision{AfterDelay, 4 * time.Second, "SIGKILL", 6}},
		{"forgiven", "dns", Exit{Signal: syscall.SIGKILL, Ran: long, WasReady: true}, 30, Decision{AtOnce, 0, "SIGKILL", 1}},
		{"the gateway never became ready", "tunnel", Exit{Code: 1, Ran: time.Second}, 0, Decision{AfterDelay, time.Second, "exit code 1", 1}},
		{"DNS crashes again and again", "dns", Exit{Code: 2, Ran: time.Second, WasReady: true}, 2, Decision{AtOnce, 0, "exit code 2", 3}},
		{"and is not given up", "dns", Exit{Code: 2, Ran: time.Second, WasReady: true}, 7, Decision{AfterDelay, 16 * time.Second, "exit code 2", 8}},
		{"DNS never came up", "dns", Exit{Code: 2, Ran: time.Second}, 2, Decision{Final, 0, "settings are wrong", 3}},
	} {
		t.Run(test.what, func(t *testing.T) {
			got := Decide(test.daemon, test.exit, test.failures, middle)
			if got.Kind != test.want.Kind || got.Delay != test.want.Delay || got.Failures != test.want.Failures || !strings.Contains(got.Reason, test.want.Reason) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// What an operator reads must name the daemon's own commands.
func TestFinalReasonsSayWhatToDo(t *testing.T) {
	for name, list := range codes {
		for exit, c := range list {
			if c.kind != Final {
				continue
			}
			d := Decide(name, Exit{Code: exit}, c.times-1, middle)
			if d.Kind != Final || !strings.Contains(d.Reason, "`panteras reload`") && !strings.Contains(d.Reason, "`panteras start "+name+"`") {
				t.Errorf("%s, exit code %d: %+v", name, exit, d)
			}
		}
	}
}

func TestJitterStaysWithinBounds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for failures := range 12 {
		ideal := min(Shortest<<failures, Longest)
		low, high := Longest, time.Duration(0)
		for range 2000 {
			d := Decide("consul", failed, failures, random.Float64).Delay
			low, high = min(low, d), max(high, d)
		}
		wantLow, wantHigh := max(Shortest, ideal*8/10), min(Longest, ideal*12/10)
		if low < wantLow || high > wantHigh {
			t.Errorf("after %d failures %v to %v, beyond %v to %v", failures, low, high, wantLow, wantHigh)
		}
		if spread := high - low; spread < (wantHigh-wantLow)*9/10 {
			t.Errorf("after %d failures %v to %v: hardly spread", failures, low, high)
		}
	}
	for _, extreme := range []float64{0, 0.999999} {
		for failures := range 40 {
			if d := Decide("consul", failed, failures, func() float64 { return extreme }).Delay; d < Shortest || d > Longest {
				t.Errorf("after %d failures, random %v: %v", failures, extreme, d)
			}
		}
	}
}

// A program that always fails is tried for ever, once a minute in the end.
func TestCrashLoop(t *testing.T) {
	var clock time.Duration
	failures, starts := 0, 0
	for clock < 24*time.Hour {
		d := Decide("chronos", Exit{Code: 1, Ran: time.Second}, failures, middle)
		if d.Kind != AfterDelay {
			t.Fatalf("after %v: %+v", clock, d)
		}
		clock += time.Second + d.Delay
		failures = d.Failures
		starts++
	}
	if starts < 24*59 || starts > 24*60+20 {
		t.Errorf("%d starts in a day", starts)
	}
}
