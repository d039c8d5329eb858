package probe_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/launcher"
	"panteras/launcher/probe"
)

// wantError fails the test unless there is an error that says all pieces.
func wantError(t *testing.T, err error, pieces ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("it counts as ready; want an error with %q", pieces)
		return
	}
	for _, piece := range pieces {
		if !strings.Contains(err.Error(), piece) {
			t.Errorf("%q lacks %q", err, piece)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is more than one line", err)
	}
}

// consulProbe is the plan's probe of Consul at another port.
func consulProbe(node *lab.ConsulNode) launcher.Probe {
	return launcher.Probe{Kind: launcher.ProbeHTTP, URL: fmt.Sprintf("http://%s/v1/status/leader", node.HTTPAddr), Expect: ":"}
}

func TestConsul(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{})
	if err := probe.Check(t.Context(), consulProbe(node)); err != nil {
		t.Error(err)
	}
	tcp := launcher.Probe{Kind: launcher.ProbeTCP, Address: node.HTTPAddr.String()}
	if err := probe.Check(t.Context(), tcp); err != nil {
		t.Error(err)
	}
	node.Kill()
	wantError(t, probe.Check(t.Context(), consulProbe(node)), "cannot ask "+consulProbe(node).URL, "nothing listens there")
	wantError(t, probe.Check(t.Context(), tcp), "cannot connect to "+node.HTTPAddr.String(), "nothing listens there")
}

func TestConsulWithoutLeader(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{Leaderless: true})
	wantError(t, probe.Check(t.Context(), consulProbe(node)), `":" is not in its text`, "no leader is elected yet")
}

func TestZooKeeper(t *testing.T) {
	t.Parallel()
	addr, process := lab.ZooKeeper(t)
	p := launcher.Probe{Kind: launcher.ProbeZooKeeper, Address: addr.String()}
	var err error
	lab.Eventually(t, time.Minute, "ZooKeeper is ready", func() bool {
		err = probe.Check(t.Context(), p)
		return err == nil
	})
	process.Kill()
	wantError(t, probe.Check(t.Context(), p), "cannot connect to "+addr.String(), "nothing listens there")
}

func TestZooKeeperWithoutQuorum(t *testing.T) {
	t.Parallel()
	addr, _ := lab.ZooKeeper(t,
		fmt.Sprintf("server.1=127.0.0.1:%d:%d", lab.Port(t), lab.Port(t)),
		fmt.Sprintf("server.2=127.0.0.1:%d:%d", lab.Port(t), lab.Port(t)),
		fmt.Sprintf("server.3=127.0.0.1:%d:%d", lab.Port(t), lab.Port(t)))
	err := probe.Check(t.Context(), launcher.Probe{Kind: launcher.ProbeZooKeeper, Address: addr.String()})
	wantError(t, err, "there is no quorum", "ZOOKEEPER_HOSTS")
}
