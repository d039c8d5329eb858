package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/launcher"
)

// vip is the floating address of these tests.
const vip = "10.7.0.100"

// holdsVIP tells whether an interface of the namespace that the test is in has it.
func holdsVIP(t *testing.T, name string) bool {
	t.Helper()
	device, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := device.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if strings.HasPrefix(a.String(), vip+"/") {
			return true
		}
	}
	return false
}

// trackFile is where keepalived learns on a host whether HAProxy does its work.
func (h *upHost) trackFile() string { return h.path("run", "keepalived", "haproxy.down") }

// letGo counts how often keepalived of a host has let go of the address.
func (h *upHost) letGo(t *testing.T) int {
	t.Helper()
	log, err := os.ReadFile(h.path("log", "keepalived.log"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(log), "removing VIPs")
}

// TestUpHoldsTheFloatingAddress is a host with keepalived, the real one: it takes
// KEEPALIVED_VIP when HAProxy runs, whatever a file from before says, keeps it over a
// restart of HAProxy, and gives it back when everything stops.
func TestUpHoldsTheFloatingAddress(t *testing.T) {
	t.Parallel()
	h := oneHost(t, append(only("consul", "consul-template"), "KEEPALIVED_VIP="+vip)...)
	if err := os.MkdirAll(h.path("run", "keepalived"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, h.trackFile(), "1\n")
	h.up(t)
	h.ready(t, "consul", "consul-template", "haproxy", "keepalived")
	holds := func() bool { return holdsVIP(t, "net0") }
	lab.Eventually(t, readyTime, "the floating address", holds)
	const hold = 2 * time.Second // for which HAProxy may be away
	best := readyTime
	for try := 0; try < 3 && best >= hold; try++ { // a machine that does much else may take longer to start it
		if try > 0 {
			h.must(t, "restart", "haproxy") // or the next start would come later
			lab.Eventually(t, readyTime, "the floating address again", holds)
		}
		before, let, killed := h.status()["haproxy"].Pid, h.letGo(t), time.Now()
		h.kill(t, before)
		h.is(t, "haproxy", "back", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != before })
		if took := time.Since(killed); took < hold {
			best = took
			if h.letGo(t) != let || !holds() {
				t.Errorf("HAProxy was away for %v, and keepalived has let go of the address", took)
			}
		}
	}
	if best >= hold {
		t.Errorf("HAProxy never started anew within %v", hold)
	}
	h.must(t, "stop", "keepalived")
	if holds() {
		t.Error("the address stays on a host whose keepalived was stopped")
	}
}

// TestUpSharesTheFloatingAddress is two hosts that learn of each other from Consul, and
// believe nobody who writes something else than an address there.
func TestUpSharesTheFloatingAddress(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 2)
	for i, h := range l.hosts {
		role := "CONSUL_HOSTS="
		if i > 0 {
			role = "CONSUL_HOSTS=-join=10.7.0.1"
			h.env = append(h.env, "MASTER=false")
		}
		h.env = append(h.env, append(only("consul", "consul-template"), role, "HOSTNAME="+fmt.Sprint("node-", i+1), "KEEPALIVED_VIP="+vip)...)
		h.start(t)
	}
	first, second := l.hosts[0], l.hosts[1]
	first.ready(t, "consul")
	register := func(id, address, tag string) {
		t.Helper()
		body := jsonOf(t, map[string]any{"ID": id, "Name": launcher.KeepalivedService, "Address": address, "Tags": []string{tag}})
		first.do(t, func() {
			if answer := httpDo("PUT", first.ip+":8500", "/v1/agent/service/register", body); answer != "" {
				t.Fatalf("cannot register: %s", answer)
			}
		})
	}
	for i, address := range []string{"10.7.0.66\n}\nglobal_defs {\n script_user root\n}", "10.7.0.66 }", "$(id)", "10.7.0.266", "host.example", "fe80::1"} {
		register(fmt.Sprint("hostile-", i), address, vip)
	}
	register("another", "10.7.0.67", "10.7.0.200") // for another floating address
	register("away", "10.7.0.68", vip)
	for _, h := range l.hosts {
		h.ready(t, "consul", "consul-template", "haproxy", "keepalived")
		other := "10.7.0.1"
		if h == first {
			other = "10.7.0.2"
		}
		want := "unicast_src_ip " + h.ip + "\nunicast_peer {\n    " + other + "\n    10.7.0.68\n}\n"
		got := ""
		lab.Eventually(t, readyTime, "the peers of "+h.ip, func() bool {
			text, _ := os.ReadFile(h.path("state", "consul-template", "keepalived-peers.conf"))
			got = string(text)
			return got == want
		})
		h.do(t, func() {
			config := h.path("run", "keepalived", "keepalived.conf")
			if output, err := exec.Command("keepalived", "-t", "-f", config).CombinedOutput(); err != nil {
				t.Errorf("keepalived does not take %s: %v\n%s", config, err, output)
			}
		})
	}
	holds := func(h *lanHost) (yes bool) {
		h.do(t, func() { yes = holdsVIP(t, "eth0") })
		return yes
	}
	lab.Eventually(t, readyTime, "that one of them holds the address", func() bool { return holds(first) != holds(second) })
	holder, other := first, second
	if holds(second) {
		holder, other = second, first
	}
	moves := func(what string) {
		t.Helper()
		lab.Eventually(t, readyTime, "that the other takes it, "+what, func() bool { return !holds(holder) && holds(other) })
	}
	// A host whose HAProxy is stopped lets go, and does not take the address, whoever
	// supervises it by then and whatever keepalived reads anew. When HAProxy is back, it may
	// take it, and does not as long as the other one is well.
	holder.do(t, func() { holder.must(t, "stop", "haproxy") })
	moves("when HAProxy is stopped")
	holder.do(t, func() {
		holder.must(t, "upgrade")
		holder.state(t, "haproxy", launcher.StateStopped)
		holder.must(t, "reload", "keepalived")
	})
	if text, err := os.ReadFile(holder.trackFile()); err != nil || string(text) != "1\n" {
		t.Errorf("after an upgrade %s holds %q (%v)", holder.trackFile(), text, err)
	}
	stays := func(what string) {
		t.Helper()
		lab.Eventually(t, patience, "the time in which it would take the address", later(5*time.Second))
		if holds(holder) || !holds(other) {
			t.Error("the address went back to the host that had lost it " + what)
		}
	}
	stays("before its HAProxy was back")
	holder.do(t, func() { holder.must(t, "start", "haproxy") })
	lab.Eventually(t, readyTime, "keepalived to know that HAProxy is back", func() bool {
		log, _ := os.ReadFile(holder.path("log", "keepalived.log"))
		return strings.Contains(string(log), "leaving FAULT state")
	})
	stays("because its HAProxy was back")
	holder, other = other, holder
	holder.do(t, func() { holder.must(t, "stop", "keepalived") })
	moves("when keepalived is stopped")
	holder.do(t, func() { holder.must(t, "start", "keepalived") })
	// What is killed takes nothing back itself, and what is stopped answers nobody.
	for _, what := range []string{"keepalived", "launcher", "guard", "haproxy"} {
		holder, other = other, holder
		other.ready(t, "haproxy", "keepalived")
		holder.ready(t, "haproxy", "keepalived")
		holder.do(t, func() {
			pid, sig, most := holder.status()[what].Pid, syscall.SIGKILL, aSecond
			guard, launcher := holder.guardAndLauncher(t, networkOf(t))
			switch what {
			case "launcher":
				pid = launcher
			case "guard":
				pid = guard
			case "haproxy":
				sig, most = syscall.SIGSTOP, readyTime
			}
			if pid <= 0 { // which would be this test and all that is with it
				t.Fatalf("%s does not run: %+v", what, holder.status())
			}
			if what == "keepalived" { // whose child would take the address back
				text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
				child, _ := strconv.Atoi(strings.TrimSpace(string(text)))
				if child == 0 || syscall.Kill(child, syscall.SIGSTOP) != nil {
					t.Fatalf("keepalived has the child %q (%v)", text, err)
				}
			}
			if err := syscall.Kill(pid, sig); err != nil {
				t.Fatal(err)
			}
			if what == "keepalived" { // and the next start of it
				holder.must(t, "stop", "keepalived")
			}
			lab.Eventually(t, most, "the floating address to be gone where "+what+" got signal "+sig.String(), func() bool { return !holdsVIP(t, "eth0") })
			switch what {
			case "keepalived":
				holder.must(t, "start", "keepalived")
			case "haproxy":
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}
		})
		moves("when " + what + " got a signal")
		if what == "launcher" || what == "guard" {
			holder.Wait(t, patience)
			holder.start(t)
		}
	}
}

// TestUpKeepsTheFloatingAddress is a host that holds the address while the only other one
// goes and comes back: it never lets go.
func TestUpKeepsTheFloatingAddress(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 2)
	first, second := l.hosts[0], l.hosts[1]
	first.env = append(first.env, append(only("consul", "consul-template"), "KEEPALIVED_VIP="+vip)...)
	second.env = append(second.env, append(only("consul", "consul-template"), "MASTER=false", "CONSUL_HOSTS=-join=10.7.0.1", "HOSTNAME=node-2", "KEEPALIVED_VIP="+vip)...)
	knows := func(peer string) {
		t.Helper()
		got := ""
		lab.Eventually(t, readyTime, "the other to be "+peer, func() bool {
			text, _ := os.ReadFile(first.path("state", "consul-template", "keepalived-peers.conf"))
			got = string(text)
			return got == "unicast_src_ip 10.7.0.1\nunicast_peer {\n    "+peer+"\n}\n"
		})
	}
	first.start(t)
	first.ready(t, "consul", "consul-template", "haproxy", "keepalived")
	knows("127.0.0.1")
	first.do(t, func() {
		lab.Eventually(t, readyTime, "the floating address", func() bool { return holdsVIP(t, "eth0") })
	})
	before := first.letGo(t)
	reloads := func() int {
		log, _ := os.ReadFile(first.path("log", "keepalived.log"))
		return strings.Count(string(log), "Reload complete")
	}
	read := reloads()
	second.start(t)
	second.ready(t, "consul", "consul-template", "haproxy", "keepalived")
	for i, peer := range []string{"10.7.0.2", "127.0.0.1", "10.7.0.2"} {
		knows(peer)
		lab.Eventually(t, readyTime, "keepalived to have read that", func() bool { return reloads() > read+i })
		switch i {
		case 0:
			second.do(t, func() { second.must(t, "stop", "keepalived") })
		case 1:
			second.do(t, func() { second.must(t, "start", "keepalived") })
		}
	}
	if after := first.letGo(t); after != before {
		t.Errorf("the host has let go of the address %d times", after-before)
	}
	second.do(t, func() {
		if holdsVIP(t, "eth0") {
			t.Error("the other has taken the address")
		}
	})
}
