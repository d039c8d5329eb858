package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
	"panteras/launcher"
)

// aSecond is what a second is on a machine that does much else.
const aSecond = 5 * time.Second

// goneTime is how long after its launcher or guard was killed something of a host may still
// run, on a machine that does nothing else. Two of three kills must show it, and each must
// within aSecond.
const goneTime = time.Second

// TestUpKilledLeavesNothing kills the launcher, and its guard, whose daemons have left
// children of every kind behind.
func TestUpKilledLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, pidNamespace := range []bool{false, true} {
		for _, victim := range []string{"launcher", "guard"} {
			name := victim
			if pidNamespace {
				name += " as PID 1"
			}
			t.Run(name, func(t *testing.T) {
				h := oneHost(t, append(only("marathon", "dns"), "MARATHON_USER=nobody")...)
				h.misbehave(t, "marathon", "alone", "children")
				if pidNamespace {
					h.before = []string{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc"}
				}
				var took []time.Duration
				for good := 0; len(took) < 3; {
					took = append(took, h.killed(t, victim))
					if took[len(took)-1] <= time.Duration(float64(goneTime)*lab.Slowdown(t)) {
						good++
					}
					if good == 2 {
						return
					}
				}
				t.Errorf("nothing was left after %v, which is not twice %v on this machine", took, goneTime)
			})
		}
	}
}

// killed starts a host, kills its launcher or guard, and returns how long it took until
// nothing was left.
func (h *upHost) killed(t *testing.T, victim string) time.Duration {
	t.Helper()
	h.up(t)
	h.ready(t, "marathon", "dns")
	network := networkOf(t)
	lab.Eventually(t, patience, "the children of marathon", func() bool { return sleepers(network) == 4 })
	guard, launcher := h.guardAndLauncher(t, network)
	lab.Eventually(t, patience, "that no zombie is left", func() bool { return zombiesOf(guard, launcher) == 0 })
	pid := map[string]int{"launcher": launcher, "guard": guard}[victim]
	began := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, aSecond, "that all processes are gone", func() bool {
		return !slices.ContainsFunc(inNetwork(network), func(p string) bool { return !strings.Contains(p, " unshare ") })
	})
	took := time.Since(began)
	t.Logf("nothing was left after %v", took)
	h.Wait(t, patience)
	return took
}

// sleepers counts the processes that stand-ins have left behind.
func sleepers(network string) (n int) {
	for _, p := range inNetwork(network) {
		if _, args, _ := strings.Cut(p, " "); args == "sleep 1000 " {
			n++
		}
	}
	return n
}

// stat is the state and the parent of a process; "" if there is none.
func stat(pid string) (state, parent string) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return "", ""
	}
	fields := strings.Fields(string(text[strings.LastIndex(string(text), ")")+1:]))
	return fields[0], fields[1]
}

// guardAndLauncher finds the two, by their pids outside of all namespaces.
func (h *upHost) guardAndLauncher(t testing.TB, network string) (guard, launcher int) {
	t.Helper()
	parents := map[string]string{}
	for _, p := range inNetwork(network) {
		if pid, args, _ := strings.Cut(p, " "); strings.HasPrefix(args, filepath.Join(h.bin, "panteras")+" up ") {
			_, parents[pid] = stat(pid)
		}
	}
	for pid, parent := range parents {
		if _, ok := parents[parent]; ok {
			launcher, _ = strconv.Atoi(pid)
			guard, _ = strconv.Atoi(parent)
		}
	}
	if len(parents) != 2 || guard == 0 {
		t.Fatalf("guard and launcher are not among %q", inNetwork(network))
	}
	return guard, launcher
}

// zombiesOf counts the dead that these processes should have waited for.
func zombiesOf(parents ...int) (n int) {
	stats, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range stats {
		state, parent := stat(filepath.Base(dir))
		if pid, _ := strconv.Atoi(parent); state == "Z" && slices.Contains(parents, pid) {
			n++
		}
	}
	return n
}

// TestUpKilledWithItsGuard kills the launcher and its guard in one moment, as somebody does
// who kills their whole process group: nobody is left to end what they started. What is part
// of this program sees that, and ends itself.
func TestUpKilledWithItsGuard(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	addAddress(t, "net0", "10.7.0.1/24")
	withDocker(t) // for a /run of its own, where the tunnel's socket is
	h := newHost(t, "10.7.0.1", append(only("dns"), "TUNNEL_ENDPOINT=10.7.0.1", "TUNNEL_ROUTES=10.7.0.0/24", "TUNNEL_STORE=file")...)
	h.up(t)
	h.ready(t, "dns", "tunnel")
	network := networkOf(t)
	guard, launcher := h.guardAndLauncher(t, network)
	// Stopped, neither of them can do anything about the end of the other one.
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		for _, pid := range []int{guard, launcher} {
			if err := syscall.Kill(pid, sig); err != nil {
				t.Fatal(err)
			}
		}
	}
	killed := time.Now()
	t.Cleanup(func() { // who does not see it must not outlive the test
		for _, p := range inNetwork(network) {
			pid, _, _ := strings.Cut(p, " ")
			if n, err := strconv.Atoi(pid); err == nil {
				_ = syscall.Kill(n, syscall.SIGKILL)
			}
		}
	})
	lab.Eventually(t, aSecond, "that all processes are gone", func() bool { return len(inNetwork(network)) == 0 })
	t.Logf("nothing was left after %v", time.Since(killed))
	h.Wait(t, patience)
}

// resumeTime is within what names are there again after a crash of the DNS server, on a
// machine that does nothing else.
const resumeTime = 200 * time.Millisecond

// TestUpDNSKilled kills the DNS server while it is asked: names are there again at once, and
// nothing else notices.
func TestUpDNSKilled(t *testing.T) {
	t.Parallel()
	h := oneHost(t, only("consul", "consul-template", "marathon", "dns")...)
	h.misbehave(t, "marathon", "alone")
	h.useUpstream(t)
	h.up(t)
	h.ready(t, "consul", "consul-template", "haproxy", "marathon", "dns")
	server := dnsAt("10.7.0.1")
	others := h.pids()
	delete(others, "dns")
	const kills = 5
	var took []float64
	var slowdowns []float64
	for kill := 1; kill <= kills; kill++ {
		before := h.pids()["dns"]
		// Another one each time: who asked in the moment of a kill waits for the answer.
		load := startLoad(t, server, asker{network: "udp", names: []string{"www.example.org"}, address: "192.0.2.7"})
		lab.Eventually(t, patience, "questions", load.more(100))
		killed := time.Now()
		if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		reply, err := exchange("udp", server, plainQuery("www.example.org", dns.TypeA))
		if err != nil {
			t.Fatalf("a question asked after the kill has no answer: %v", err)
		}
		wantAddress(t, reply, "192.0.2.7")
		took = append(took, time.Since(killed).Seconds())
		after := h.is(t, "dns", "ready anew", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != before })
		if after.Restarts != kill || !strings.Contains(after.LastExit, "SIGKILL") {
			t.Errorf("after %d kills dns has restarted %d times, at last because of %q", kill, after.Restarts, after.LastExit)
		}
		load.stop()
		slowdowns = append(slowdowns, lab.Slowdown(t))
		if kill%2 == 0 { // what an operator asks for forgives: only some restarts in a row come at once
			h.must(t, "restart", "dns")
		}
	}
	median, slowdown := time.Duration(lab.Median(took)*float64(time.Second)), lab.Median(slowdowns)
	t.Logf("from the kill to the answer: %.3f s, on a machine on which everything takes %.1f times as long", took, slowdowns)
	if limit := time.Duration(float64(resumeTime) * slowdown); median > limit {
		t.Errorf("from the kill to the answer it took %v (median of %d), want no more than %v", median, kills, limit)
	}
	after := h.pids()
	for name, pid := range others {
		if after[name] != pid {
			t.Errorf("%s had the pid %d and has %d", name, pid, after[name])
		}
	}
}

// useUpstream gives the host a recursor, which knows one address.
func (h *upHost) useUpstream(t *testing.T) {
	t.Helper()
	upstream := scripted(t, always("192.0.2.7"))
	h.env = append(h.env, "DNS_UPSTREAMS="+upstream.Addr.String())
}

// TestUpgrade makes the launcher become another build of itself under load.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	h := oneHost(t, only("consul", "consul-template", "marathon", "dns")...)
	h.misbehave(t, "marathon", "alone", "once", "children")
	h.useUpstream(t)
	h.up(t)
	daemons := []string{"consul", "consul-template", "haproxy", "marathon", "dns"}
	h.ready(t, daemons...)
	next := h.path("v2", "panteras") // with the programs that lie beside it
	if err := os.CopyFS(h.path("v2"), os.DirFS(h.bin)); err != nil {
		t.Fatal(err)
	}
	err := os.Remove(next)
	if err == nil {
		err = os.Link(build(t, "panteras-next", "./cmd/panteras", "-ldflags=-X main.version=the-next-one"), next)
	}
	if err != nil {
		t.Fatal(err)
	}
	network := networkOf(t)
	guard, launcherPid := h.guardAndLauncher(t, network)
	before := h.pids()
	load := startLoad(t, dnsAt("10.7.0.1"),
		asker{network: "udp", names: []string{"www.example.org"}, address: "192.0.2.7"},
		asker{network: "udp", names: []string{"www.example.com"}, address: "192.0.2.7"},
		asker{network: "udp", names: []string{"www.example.net"}, address: "192.0.2.7"})
	lab.Eventually(t, patience, "questions", load.more(100))

	if output, code := h.run(t, "upgrade", "/bin/true"); code != 1 || !strings.Contains(output, "/bin/true") {
		t.Errorf("an upgrade to another program: exit code %d: %s", code, output)
	}
	if output := h.must(t, "upgrade", next); !strings.Contains(output, "to the-next-one (pid "+strconv.Itoa(launcherPid)+")") {
		t.Errorf("upgrade says %q", output)
	}
	h.is(t, "dns", "the new program", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != before["dns"] })
	lab.Eventually(t, patience, "the old DNS server to end", func() bool { return !alive(before["dns"]) })
	lab.Eventually(t, patience, "more questions", load.more(100))
	load.stopAndCheck(t)
	t.Logf("%d questions were all answered", load.asked.Load())

	for _, name := range daemons {
		if d := h.status()[name]; name != "dns" && d.Pid != before[name] || !d.Ready {
			t.Errorf("%s is %s and has the pid %d, before %d", name, d.State, d.Pid, before[name])
		}
	}
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", guard)); err != nil || exe != next {
		t.Errorf("the guard runs %s (%v), want %s", exe, err, next)
	}
	// That the program lies elsewhere by now is nothing to start daemons anew for.
	h.must(t, "reload")
	for _, name := range []string{"consul", "haproxy", "marathon"} {
		if d := h.status()[name]; d.Pid != before[name] {
			t.Errorf("after a reload %s has the pid %d, before %d", name, d.Pid, before[name])
		}
	}
	// What was taken over is watched, its output read, its orphans known.
	if err := syscall.Kill(before["marathon"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.is(t, "marathon", "running anew", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != before["marathon"] && d.Restarts == 1 })
	if n := sleepers(network); n != 0 {
		t.Errorf("%d children of marathon's first life are left", n)
	}
	lab.Eventually(t, patience, "both lives of marathon in its log", func() bool {
		return strings.Count(h.must(t, "logs", "-n", "100", "marathon"), "serving as marathon") == 2
	})
	if code := h.Stop(t); code != 0 {
		t.Errorf("stopped with exit code %d", code)
	}
	if left := inNetwork(network); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
}

// alive tells whether a process exists that is no zombie.
func alive(pid int) bool {
	state, _ := stat(strconv.Itoa(pid))
	return state != "" && state != "Z"
}
