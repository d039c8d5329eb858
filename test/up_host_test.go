package test

import (
	"encoding/json"
	"maps"
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

// The columns of the table of roles.
var (
	masterDaemons = []string{"consul", "zookeeper", "mesos-master", "marathon", "chronos", "dns"}
	slaveDaemons  = []string{"consul", "consul-template", "haproxy", "mesos-agent", "registrator", "dns"}
	allDaemons    = append(slices.Clone(masterDaemons), "consul-template", "haproxy", "mesos-agent", "registrator")
)

// TestUpRunsAHost is a day in the life of a host that has both roles.
func TestUpRunsAHost(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	addAddress(t, "net0", "10.7.0.1/24")
	withDocker(t)
	h := newHost(t, "10.7.0.1")
	h.watchConsulTemplate(t)
	mounts := mountTable(t)
	h.up(t)
	h.ready(t, allDaemons...)

	// Nothing had to start twice: what each waits for was ready.
	for name, d := range h.status() {
		if runs := slices.Contains(allDaemons, name); runs != (d.State == launcher.StateReady) || d.Restarts != 0 {
			t.Errorf("%s is %s after %d restarts (%s)", name, d.State, d.Restarts, d.LastExit)
		}
	}
	wantRole(t, h, allDaemons)
	h.wantServices(t, "chronos", "consul-ui", "haproxy", "marathon", "mesos", "panteras-dns")
	for name, port := range map[string]string{"marathon": "8080", "mesos": "5050", "chronos": "4400", "consul-ui": "8500", "haproxy": "80", "panteras-dns": "53"} {
		lab.Eventually(t, readyTime, name+" has an address and a port", func() bool {
			output := lab.RunDig(t, "@10.7.0.1", "+short", "SRV", name+".service.consul")
			return strings.Contains(output, " "+port+" ")
		})
	}
	if got := lab.RunDig(t, "@10.7.0.1", "+short", "marathon.service.consul"); got != "10.7.0.1\n" {
		t.Errorf("marathon.service.consul is %q", got)
	}
	h.checkSeen(t)
	h.checkCommands(t)

	sockets, _ := filepath.Glob(h.path("run", "control.sock"))
	if len(sockets) != 1 {
		t.Error("there is no control socket")
	}
	network := networkOf(t)
	if len(h.keptServices(t)) == 0 {
		t.Error("Consul keeps none of the host's services in its files, so their removal cannot be seen there")
	}
	h.must(t, "reload", "haproxy") // while it does, it has no ear for the signal to stop
	began := time.Now()
	if code := h.Stop(t); code != 0 {
		t.Errorf("stopped with exit code %d", code)
	}
	t.Logf("stopping took %v", time.Since(began))
	if strings.Contains(h.Stderr(), "did not end in time") {
		t.Error("a daemon had to be killed")
	}
	if left := inNetwork(network); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	checkStopOrder(t, h.Stderr())
	if left := h.keptServices(t); len(left) > 0 {
		t.Errorf("these were not taken out of Consul: %q", left)
	}
	for _, pattern := range []string{"run/control.sock", "run/*/notify-*", "run/*/metrics.sock"} {
		if left, _ := filepath.Glob(h.path(pattern)); len(left) > 0 {
			t.Errorf("sockets are left: %q", left)
		}
	}
	if after := mountTable(t); after != mounts {
		t.Errorf("mounts were\n%s\nand are\n%s", mounts, after)
	}
	if left := cgroupsOf(h.Pid()); len(left) > 0 {
		t.Errorf("control groups are left: %q", left)
	}
}

// keptServices are those that the host's Consul keeps for its next start: what is registered
// now, or was when it ended.
func (h *upHost) keptServices(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob(h.path("state", "consul", "services", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		var kept struct{ Service struct{ Service string } }
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &kept)
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, kept.Service.Service)
	}
	return names
}

// watchConsulTemplate puts a stand-in before consul-template that fails where Consul does
// not answer yet.
func (h *upHost) watchConsulTemplate(t *testing.T) {
	t.Helper()
	if err := os.Rename(filepath.Join(h.bin, "consul-template"), filepath.Join(h.bin, "consul-template.real")); err != nil {
		t.Fatal(err)
	}
	h.installStandIn(t, "consul-template")
}

func mountTable(t *testing.T) string {
	t.Helper()
	table, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(table)
}

// cgroupsOf lists what is left of the control group of a guard.
func cgroupsOf(guard int) (list []string) {
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "panteras-"+strconv.Itoa(guard) {
			list = append(list, path)
		}
		return nil
	})
	return list
}

// wantRole checks what `plan` and `status` say that runs.
func wantRole(t *testing.T, h *upHost, daemons []string) {
	t.Helper()
	var want []string
	want = append(want, daemons...)
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(h.plan(t))); !slices.Equal(got, want) {
		t.Errorf("the plan runs %q, want %q", got, want)
	}
	var st launcher.Status
	output := h.must(t, "status", "--json")
	if err := json.Unmarshal([]byte(output[:strings.LastIndex(output, "}")+1]), &st); err != nil {
		t.Fatalf("%v in %s", err, output)
	}
	var running []string
	for _, d := range st.Daemons {
		if d.Pid > 0 && d.Ready {
			running = append(running, d.Name)
		} else if d.State != launcher.StateDisabled {
			t.Errorf("%s is %s", d.Name, d.State)
		}
	}
	slices.Sort(running)
	if !slices.Equal(running, want) {
		t.Errorf("%q run, want %q", running, want)
	}
}

// wantServices waits until these services, and no others, are in Consul.
func (h *upHost) wantServices(t *testing.T, names ...string) {
	t.Helper()
	var got []string
	lab.Eventually(t, readyTime, "the services of the host in Consul", func() bool {
		var services map[string][]string
		if json.Unmarshal([]byte(httpGet("10.7.0.1:8500", "/v1/catalog/services")), &services) != nil {
			return false
		}
		delete(services, "consul")
		got = slices.Sorted(maps.Keys(services))
		return slices.Equal(got, names)
	})
}

// checkSeen looks at what the stand-ins saw.
func (h *upHost) checkSeen(t *testing.T) {
	t.Helper()
	for _, name := range standIns {
		text, err := os.ReadFile(h.path("state", name, "seen.json"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var seen struct {
			Argv []string
			Env  map[string]string
		}
		if err := json.Unmarshal(text, &seen); err != nil {
			t.Fatal(err)
		}
		if seen.Env["PANTERAS_DAEMON"] != name || seen.Env["HOME"] != h.path("state", name) || !strings.HasSuffix(seen.Env["PATH"], h.bin) {
			t.Errorf("%s has the environment %q", name, seen.Env)
		}
		if name != "registrator" && len(seen.Argv) < 6 {
			t.Errorf("%s has the arguments %q", name, seen.Argv)
		}
	}
}

// checkCommands tries what an operator does to a host that runs.
func (h *upHost) checkCommands(t *testing.T) {
	t.Helper()
	before := h.pids()
	h.must(t, "stop", "marathon")
	if d := h.status()["marathon"]; d.State != launcher.StateStopped || d.Pid != 0 {
		t.Errorf("marathon was stopped and is %s", d.State)
	}
	h.wantServices(t, "chronos", "consul-ui", "haproxy", "mesos", "panteras-dns")
	h.must(t, "start", "marathon")
	h.ready(t, "marathon")
	h.must(t, "restart", "dns")
	h.must(t, "reload", "haproxy")
	h.must(t, "reload")
	after := h.pids()
	for _, name := range allDaemons {
		if anew := name == "marathon" || name == "dns"; anew != (before[name] != after[name]) {
			t.Errorf("%s had the pid %d and has %d", name, before[name], after[name])
		}
	}
	if output := h.must(t, "logs", "-n", "100", "mesos-master"); !strings.Contains(output, "stand-in: serving as mesos-master on port 5050") {
		t.Errorf("the log of mesos-master is %q", output)
	}
	if !strings.Contains(h.Stdout()+h.Stderr(), "mesos-master | stand-in: serving") {
		t.Error("the console does not show what mesos-master says")
	}
	if log, err := os.ReadFile(h.path("log", "mesos-master.log")); err != nil || !strings.Contains(string(log), "stand-in: serving") {
		t.Errorf("the log file of mesos-master holds %q (%v)", log, err)
	}
	if output, code := h.run(t, "stop", "mesos"); code != 1 || !strings.Contains(output, "mesos-master") {
		t.Errorf("stopping what there is not: exit code %d: %s", code, output)
	}
}

// checkStopOrder reads in which order daemons ended.
func checkStopOrder(t *testing.T, log string) {
	t.Helper()
	at := func(daemon string) int {
		last := -1
		offset := 0
		for line := range strings.Lines(log) {
			if strings.Contains(line, `daemon is stopped`) && strings.Contains(line, "daemon="+daemon+" ") {
				last = offset
			}
			offset += len(line)
		}
		if last < 0 {
			t.Errorf("nothing says that %s was stopped", daemon)
		}
		return last
	}
	for _, pair := range [][2]string{
		{"marathon", "mesos-master"},
		{"chronos", "mesos-master"},
		{"mesos-master", "zookeeper"},
		{"haproxy", "consul-template"},
		{"consul-template", "consul"},
		{"registrator", "consul"},
		{"dns", "consul"},
		{"zookeeper", "consul"},
	} {
		if at(pair[0]) > at(pair[1]) {
			t.Errorf("%s ended after %s", pair[0], pair[1])
		}
	}
}

// TestUpRunsARole runs the two roles that a host has half of.
func TestUpRunsARole(t *testing.T) {
	t.Parallel()
	t.Run("master", func(t *testing.T) {
		h := oneHost(t, "SLAVE=false")
		h.up(t)
		h.ready(t, masterDaemons...)
		wantRole(t, h, masterDaemons)
	})
	t.Run("slave", func(t *testing.T) {
		ownNetwork(t)
		addAddress(t, "net0", "10.7.0.1/24")
		addAddress(t, "net0", "10.7.0.2/24")
		withDocker(t)
		server := newHost(t, "10.7.0.2", append(only("consul"), "LISTEN_IP=10.7.0.2", "HOSTNAME=node-2", "STATUS_LISTEN=10.7.0.2:9000", `CONSUL_PARAMS=-client=10.7.0.2 -hcl='performance{raft_multiplier=1}'`)...)
		server.up(t)
		server.ready(t, "consul")
		h := newHost(t, "10.7.0.1", "MASTER=false", "CONSUL_HOSTS=-join=10.7.0.2", "ZOOKEEPER_HOSTS=10.7.0.2:2181", "LISTEN_IP=10.7.0.1", "STATUS_LISTEN=10.7.0.1:9000")
		h.up(t)
		h.ready(t, slaveDaemons...)
		wantRole(t, h, slaveDaemons)
		if members := httpGet("10.7.0.1:8500", "/v1/agent/self"); !strings.Contains(members, `"Server":false`) {
			t.Errorf("Consul of a slave is no client: %s", members)
		}
		// Both are in one namespace, which must be empty at the end of either.
		h.Signal(syscall.SIGTERM)
		h.Wait(t, readyTime)
		server.Signal(syscall.SIGTERM)
		server.Wait(t, readyTime)
	})
}

// TestUpWithoutALeader is a host whose Consul never gets a leader: names, and what was
// balanced before, are there all the same.
func TestUpWithoutALeader(t *testing.T) {
	t.Parallel()
	h := oneHost(t, append(only("consul", "consul-template", "dns"), "MASTER=false", "CONSUL_HOSTS=10.7.0.99", "ZOOKEEPER_HOSTS=10.7.0.99:2181")...)
	upstream := lab.NewUpstream(t, func(*lab.Query) []lab.Action { return answerWith("192.0.2.7") })
	h.env = append(h.env, "DNS_UPSTREAMS="+upstream.Addr.String())
	h.up(t)
	h.ready(t, "dns", "haproxy")
	st := h.status()
	if d := st["consul-template"]; d.State != launcher.StateWaiting || !slices.Equal(d.WaitingFor, []string{"consul"}) {
		t.Errorf("consul-template is %s, waiting for %q", d.State, d.WaitingFor)
	}
	if d := st["consul"]; d.State != launcher.StateStarting || d.Reason == "" {
		t.Errorf("consul is %s (%s)", d.State, d.Reason)
	}
	reply, err := exchange("udp", dnsAt("10.7.0.1"), plainQuery("www.example.org", dns.TypeA))
	if err != nil {
		t.Fatal(err)
	}
	wantAddress(t, reply, "192.0.2.7")
}
