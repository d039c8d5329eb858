package test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"

	"panteras/internal/lab"
	"panteras/launcher"
)

// TestUpRebootsWithoutConsul is a slave and gateway that comes back from a loss of power when
// no server of Consul can be reached: it does what it did last, and says what is wrong. When
// Consul is back, nothing has to start anew.
func TestUpRebootsWithoutConsul(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 2)
	withDocker(t) // for a /run of its own, where the tunnel's socket is
	h, server := l.hosts[0], l.hosts[1]
	h.do(t, func() {
		upstream := scripted(t, always("192.0.2.7"))
		h.settings(t, append(only("consul", "consul-template", "dns"),
			"IP="+h.ip, "HOSTNAME=node-1", "MASTER=false", "CONSUL_HOSTS=-join="+server.ip, "ZOOKEEPER_HOSTS="+server.ip+":2181",
			"DNS_UPSTREAMS="+upstream.Addr.String(), "TUNNEL_ENDPOINT="+h.ip, "TUNNEL_ROUTES=10.7.0.0/24", `CONSUL_PARAMS="`+quickConsul+`"`)...)
		webServer(t, h.ip+":8081", "served")
	})
	server.settings(t, append(only("consul"), "IP="+server.ip, "HOSTNAME=node-2", "SLAVE=false", `CONSUL_PARAMS="`+quickConsul+`"`)...)
	server.start(t)
	server.ready(t, "consul")
	h.start(t)
	h.ready(t, "consul", "consul-template", "haproxy", "dns", "tunnel")
	h.register(t, "web")
	h.serves(t, "web")
	h.resolves(t, "web.service.consul", h.ip)
	h.adds(t, "alice-laptop")
	peers := h.letsIn(t, 1)

	// The machine is gone, with what it has in memory; so are the servers of Consul.
	h.do(t, func() {
		_, launcher := h.guardAndLauncher(t, networkOf(t))
		h.kill(t, launcher)
	})
	h.Wait(t, patience)
	server.Signal(syscall.SIGTERM)
	server.Wait(t, readyTime)
	if err := os.RemoveAll(h.path("run")); err != nil {
		t.Fatal(err)
	}
	h.start(t)
	h.ready(t, "dns", "haproxy", "tunnel")

	h.serves(t, "web")
	h.resolves(t, "www.example.org", "192.0.2.7")
	h.do(t, func() {
		reply, err := exchange("udp", dnsAt(h.ip), plainQuery("web.service.consul", dns.TypeA))
		if err != nil || reply.Rcode != dns.RcodeServerFailure {
			t.Errorf("a name of Consul: %v, %v; want SERVFAIL", reply, err)
		}
	})
	if again := h.letsIn(t, 1); !slices.Equal(again, peers) {
		t.Errorf("the gateway lets %q in, before %q", again, peers)
	}
	st := h.status()
	if d := st["consul"]; d.State != launcher.StateStarting || d.Reason == "" {
		t.Errorf("consul is %s (%q)", d.State, d.Reason)
	}
	if d := st["consul-template"]; d.State != launcher.StateWaiting || !slices.Equal(d.WaitingFor, []string{"consul"}) {
		t.Errorf("consul-template is %s, waiting for %q", d.State, d.WaitingFor)
	}
	h.do(t, func() {
		wantText(t, "status", h.must(t, "status"), "starting", "No known Consul servers", "waits for consul")
		output, code := h.run(t, "doctor", "--restricted", h.path("restricted"))
		if code != 1 {
			t.Errorf("doctor ends with %d", code)
		}
		wantText(t, "doctor", output, "No known Consul servers", "CONSUL_HOSTS")
	})
	lab.Eventually(t, patience, "a word about the store", func() bool {
		return strings.Contains(h.Stderr(), "the last state stays in force")
	})

	before := h.pids()
	server.start(t)
	server.ready(t, "consul")
	h.ready(t, "consul", "consul-template", "haproxy", "dns", "tunnel")
	h.resolves(t, "web.service.consul", h.ip)
	h.register(t, "late")
	h.serves(t, "late")
	h.serves(t, "web")
	h.adds(t, "bob-laptop")
	if now := h.letsIn(t, 2); !slices.Contains(now, peers[0]) {
		t.Errorf("the gateway lets %q in, before %q", now, peers)
	}
	for name, pid := range before {
		if d := h.status()[name]; d.Pid != pid || d.Restarts != 0 {
			t.Errorf("%s had the pid %d and has %d, after %d restarts", name, pid, d.Pid, d.Restarts)
		}
	}
	for _, h := range l.hosts {
		if code := h.Stop(t); code != 0 {
			t.Errorf("%s stopped with exit code %d", h.ip, code)
		}
	}
}

// adds makes a peer, as soon as the gateway has made itself known in the store.
func (h *lanHost) adds(t *testing.T, name string) {
	t.Helper()
	h.do(t, func() {
		lab.Eventually(t, readyTime, "to add "+name, func() bool {
			_, code := h.run(t, "peer", "add", name, "--output", h.path(name+".conf"), "--restricted", h.path("restricted"))
			return code == 0
		})
	})
}

// register makes what serves at port 8081 of the host known as a service for HAProxy.
func (h *lanHost) register(t *testing.T, service string) {
	t.Helper()
	h.do(t, func() {
		lab.Eventually(t, readyTime, "to register "+service, func() bool {
			return httpDo("PUT", h.ip+":8500", "/v1/agent/service/register",
				fmt.Sprintf(`{"Name":%q,"Port":8081,"Address":%q,"Tags":["haproxy"]}`, service, h.ip)) == ""
		})
	})
}

// serves waits until HAProxy serves a service by its name.
func (h *lanHost) serves(t *testing.T, service string) {
	t.Helper()
	h.do(t, func() {
		lab.Eventually(t, readyTime, "HAProxy to serve "+service, func() bool {
			return curl(t, "-H", "Host: "+service+".service.consul", "http://"+h.ip+"/") == "served"
		})
	})
}

// resolves waits until the host's DNS server says of a name what is wanted.
func (h *lanHost) resolves(t *testing.T, name, want string) {
	t.Helper()
	h.do(t, func() {
		lab.Eventually(t, readyTime, name+" to be "+want, func() bool {
			return lab.RunDig(t, "@"+h.ip, "+short", name) == want+"\n"
		})
	})
}

// letsIn waits until the tunnel's interface knows so many peers, and returns their keys.
func (h *lanHost) letsIn(t *testing.T, n int) (keys []string) {
	t.Helper()
	h.do(t, func() {
		lab.Eventually(t, readyTime, fmt.Sprint("the gateway to let ", n, " peers in"), func() bool {
			output, _ := exec.Command("wg", "show", tunnelInterface, "peers").Output()
			keys = sortedLines(string(output))
			return len(keys) == n
		})
	})
	return keys
}
