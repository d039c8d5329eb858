package test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"panteras/internal/lab"
	"panteras/launcher"
)

// quickConsul makes Consul elect as fast as it can.
const quickConsul = `-hcl='performance{raft_multiplier=1}' -log-level=warn`

// clusterFile is restricted/host of one of three masters and a slave.
func clusterFile(host int, more ...string) []string {
	role := []string{"MASTER=false"}
	if host <= 3 {
		role = []string{"SLAVE=false", fmt.Sprintf("ZOOKEEPER_ID=%d", host)}
	}
	return slices.Concat([]string{
		`ZOOKEEPER_HOSTS="10.7.0.1:2181,10.7.0.2:2181,10.7.0.3:2181"`,
		`CONSUL_HOSTS="-join=10.7.0.1 -join=10.7.0.2 -join=10.7.0.3"`,
		"MESOS_MASTER_QUORUM=2",
		fmt.Sprintf("IP=10.7.0.%d", host),
		fmt.Sprintf("HOSTNAME=node-%d", host),
		"DNS_UPSTREAMS=127.0.0.1:9",
		`ZOOKEEPER_JAVA_OPTS="-Xmx64m -XX:TieredStopAtLevel=1"`,
		`CONSUL_PARAMS="` + quickConsul + `"`,
	}, role, more)
}

// TestUpCluster is three masters and a slave: each kind of daemon is killed somewhere, a whole
// master is lost and comes back, and all get new settings, one after the other. All the time
// somebody looks whether the masters have a quorum.
func TestUpCluster(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 4)
	withDocker(t)
	for i, h := range l.hosts {
		h.settings(t, clusterFile(i+1)...)
		h.start(t)
	}
	masters, slave := l.hosts[:3], l.hosts[3]
	allReady := func() {
		t.Helper()
		for _, h := range masters {
			h.ready(t, masterDaemons...)
		}
		slave.ready(t, slaveDaemons...)
	}
	allReady()
	wantQuorum(t, masters, 3)
	var members []struct {
		Name   string
		Status int
		Tags   map[string]string
	}
	lab.Eventually(t, readyTime, "four members of Consul's cluster", func() bool {
		return json.Unmarshal([]byte(slave.get(t, "/v1/agent/members")), &members) == nil && len(members) == 4
	})
	for _, m := range members {
		if role := map[bool]string{true: "node", false: "consul"}[m.Name == "node-4"]; m.Tags["role"] != role || m.Status != 1 {
			t.Errorf("%s is %q and has the status %d", m.Name, m.Tags["role"], m.Status)
		}
	}
	slave.do(t, func() {
		lab.Eventually(t, readyTime, "all Marathons in the slave's DNS", func() bool {
			return strings.Count(lab.RunDig(t, "@"+slave.ip, "+short", "marathon.service.consul"), "10.7.0.") == 3
		})
	})
	masters[0].do(t, func() { httpDo("PUT", masters[0].ip+":8500", "/v1/kv/kept", "kept") })

	watch := watchQuorum(t, l, masters)
	// Every kind of daemon is killed, on one host after the other, those that lead where
	// they lead; each comes back by itself.
	leads := map[string]func(*lanHost) bool{
		"consul":    func(h *lanHost) bool { return strings.Contains(h.get(t, "/v1/status/leader"), h.ip+":") },
		"zookeeper": func(h *lanHost) bool { return h.zooKeeperMode(t) == "leader" },
	}
	killed := map[*lanHost]bool{}
	kill := func(h *lanHost, name string) {
		t.Helper()
		pid := h.pids()[name]
		if pid == 0 {
			t.Fatalf("%s does not run on %s", name, h.ip)
		}
		killed[h] = true
		watch.whole(t)
		h.kill(t, pid)
		h.is(t, name, "back", func(d launcher.DaemonStatus) bool { return d.Ready && d.Pid != pid })
	}
	for i, name := range masterDaemons {
		h := masters[i%len(masters)]
		if leads[name] != nil {
			leader := slices.IndexFunc(masters, leads[name])
			if leader < 0 {
				t.Fatalf("no master leads %s", name)
			}
			h = masters[leader]
		}
		kill(h, name)
		wantQuorum(t, masters, 3)
	}
	for _, name := range slaveDaemons {
		kill(slave, name)
	}
	if len(killed) != len(l.hosts) {
		t.Errorf("daemons of %d hosts were killed, want of all %d", len(killed), len(l.hosts))
	}
	allReady()
	wantQuorum(t, masters, 3)
	watch.check(t, "while daemons were killed")

	watch.whole(t)
	// The launcher of the host that leads is lost, and with it all that runs there.
	leader := slices.IndexFunc(masters, func(h *lanHost) bool { return strings.Contains(masters[0].get(t, "/v1/status/leader"), h.ip+":") })
	if leader < 0 {
		t.Fatal("no master leads Consul")
	}
	lost := masters[leader]
	lost.do(t, func() {
		_, launcher := lost.guardAndLauncher(t, networkOf(t))
		lost.kill(t, launcher)
	})
	lost.Wait(t, patience)
	rest := slices.DeleteFunc(slices.Clone(masters), func(h *lanHost) bool { return h == lost })
	wantQuorum(t, rest, 3)
	lost.start(t)
	allReady()
	wantQuorum(t, masters, 3)
	watch.check(t, "while a whole master was lost")

	// New settings for Consul and ZooKeeper, one host after the other.
	for i, h := range l.hosts {
		h.settings(t, clusterFile(i+1, `ZOOKEEPER_JAVA_OPTS="-Xmx60m -XX:TieredStopAtLevel=1"`, `CONSUL_PARAMS="`+quickConsul+` -rejoin"`)...)
		watch.whole(t)
		before := h.pids()
		h.must(t, "reload")
		after := h.pids()
		for name, pid := range before {
			if differs := name == "consul" || name == "zookeeper"; differs != (after[name] != pid) {
				t.Errorf("%s of %s had the pid %d and has %d", name, h.ip, pid, after[name])
			}
		}
		wantQuorum(t, masters, 3)
		if kept := h.get(t, "/v1/kv/kept?raw&consistent"); kept != "kept" {
			t.Errorf("%s knows %q, want what was put before", h.ip, kept)
		}
	}
	allReady()
	watch.check(t, "while all hosts were reloaded")
	watch.stop()
	for _, h := range l.hosts { // all at once
		h.Signal(syscall.SIGTERM)
	}
	for _, h := range l.hosts {
		if code := h.Wait(t, readyTime); code != 0 {
			t.Errorf("%s stopped with exit code %d", h.ip, code)
		}
	}
}

// wantQuorum waits until hosts agree on one leader of Consul among so many peers, and one
// of their ZooKeepers leads the others.
func wantQuorum(t *testing.T, hosts []*lanHost, peers int) {
	t.Helper()
	lab.Eventually(t, readyTime, "one leader of Consul", func() bool {
		leader := hosts[0].get(t, "/v1/status/leader")
		for _, h := range hosts {
			if h.get(t, "/v1/status/leader") != leader || strings.Count(h.get(t, "/v1/status/peers"), ":8300") != peers {
				return false
			}
		}
		return strings.HasSuffix(strings.TrimSpace(leader), `:8300"`)
	})
	lab.Eventually(t, readyTime, "one leader of ZooKeeper, and followers", func() bool {
		modes := map[string]int{}
		for _, h := range hosts {
			modes[h.zooKeeperMode(t)]++
		}
		return modes["leader"] == 1 && modes["follower"] == len(hosts)-1
	})
}

// TestUpTwoDataCentres asks in one for what is in the other.
func TestUpTwoDataCentres(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 2)
	for i, h := range l.hosts {
		daemons := only("consul", "dns")
		if i == 0 {
			daemons = only("consul", "dns", "consul-template")
		}
		h.settings(t, append(daemons,
			"IP="+h.ip, fmt.Sprintf("HOSTNAME=node-%d", i+1), fmt.Sprintf("CONSUL_DC=dc%d", i+1), "DNS_UPSTREAMS=127.0.0.1:9",
			fmt.Sprintf("CONSUL_WAN_HOSTS=-join=10.7.0.%d", 2-i), `CONSUL_PARAMS="`+quickConsul+`"`)...)
		h.start(t)
	}
	near, far := l.hosts[0], l.hosts[1]
	near.ready(t, "consul", "dns")
	far.ready(t, "consul", "dns")
	far.do(t, func() {
		if answer := httpDo("PUT", far.ip+":8500", "/v1/agent/service/register", `{"Name":"svc","Port":8080,"Address":"10.9.8.7"}`); answer != "" {
			t.Fatalf("cannot register: %s", answer)
		}
	})
	near.ready(t, "haproxy")
	near.do(t, func() {
		// A service has a name with each data centre in HAProxy, as PanteraS had it.
		webServer(t, near.ip+":8081", "web\n")
		if answer := httpDo("PUT", near.ip+":8500", "/v1/agent/service/register", `{"Name":"web","Port":8081,"Address":"`+near.ip+`","Tags":["haproxy"]}`); answer != "" {
			t.Fatalf("cannot register: %s", answer)
		}
		for _, name := range []string{"web.service.consul", "web.service.dc1.consul", "web.service.dc2.consul"} {
			lab.Eventually(t, readyTime, "HAProxy to serve "+name, func() bool {
				body, _ := exec.Command("curl", "-s", "--max-time", "5", "-H", "Host: "+name, "http://"+near.ip+"/").Output()
				return string(body) == "web\n"
			})
		}
		lab.Eventually(t, readyTime, "the service of the other data centre", func() bool {
			return lab.RunDig(t, "@"+near.ip, "+short", "svc.service.dc2.consul") == "10.9.8.7\n"
		})
		if got := lab.RunDig(t, "@"+near.ip, "svc.service.consul"); !strings.Contains(got, "NXDOMAIN") {
			t.Errorf("in its own data centre there is no svc: %s", got)
		}
	})
}
