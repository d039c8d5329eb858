package test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"panteras/internal/lab"
	"panteras/tunnel"
)

// testAllMastersLost loses all masters and a slave for good, and puts new machines in their
// place with what docs/operations.md has saved before.
func testAllMastersLost(t *testing.T, l *logbook) {
	o := l.o
	first, gateway, twin := o.masters()[0], o.slaves()[0], o.slaves()[1]
	first.consul(t, "kv", "put", "kept", "in Consul")
	first.zooKeeper(t, "create", "/kept", "in-ZooKeeper")
	for _, c := range l.backup { // once more, as every night
		o.named(t, c.host).shell(t, c.command)
	}
	commands := l.page["All masters"]
	if len(commands) < 2 {
		t.Fatalf("docs/operations.md brings masters back by %v", commands)
	}
	delete(l.page, "All masters")
	l.asWritten(t, "all masters lose power", gatewayBack, func() {
		for _, m := range o.masters() {
			o.losePower(t, m)
		}
		for _, m := range o.masters() {
			for _, folder := range []string{"state", "run"} {
				if err := os.RemoveAll(m.path(folder)); err != nil {
					t.Fatal(err)
				}
			}
			bring(t, first, m, "zookeeper.backup")
			o.boot(t, m)
			m.shell(t, commands[0].command)
			o.start(t, m)
		}
		for _, m := range o.masters() {
			o.started(t, m)
		}
		for _, c := range commands[1:] {
			o.named(t, c.host).shell(t, c.command)
		}
	})
	if value := first.consul(t, "kv", "get", "kept"); value != "in Consul\n" {
		t.Errorf("Consul knows %q", value)
	}
	if out := first.zooKeeper(t, "get", "/kept"); !strings.Contains(out, "in-ZooKeeper") {
		t.Errorf("ZooKeeper says %q", out)
	}

	// The slave was lost before.
	if err := os.RemoveAll(twin.path("state")); err != nil {
		t.Fatal(err)
	}
	bring(t, gateway, twin, "tunnel.tgz")
	o.follow(t, l.page, "A gateway")
	o.comeBack(t, twin)
	o.whole(t)
	key := func(n *node) []byte {
		text, err := os.ReadFile(tunnel.NewFolder(n.path("state")).File("gateway.key"))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if !bytes.Equal(key(gateway), key(twin)) {
		t.Error("the gateways have two keys")
	}
	for _, n := range o.nodes {
		if peers := n.consul(t, "kv", "get", "-keys", "panteras/tunnel/peers/"); !strings.Contains(peers, "laptop") {
			t.Errorf("%s sees the peers %q", n.name, peers)
		}
	}
}

// bring copies something that somebody has saved on a host to another one.
func bring(t *testing.T, from, to *node, what string) {
	t.Helper()
	if from != to {
		from.at.run(t, "cp", "-a", from.path(what), filepath.Dir(to.path(what))+"/")
	}
}

// zooKeeper runs a command of ZooKeeper's own client on a host, and returns what it prints.
func (n *node) zooKeeper(t *testing.T, command ...string) (output string) {
	t.Helper()
	args := append([]string{"-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp", "/usr/share/java/zookeeper.jar", "org.apache.zookeeper.ZooKeeperMain", "-server", n.ip + ":2181"}, command...)
	lab.Eventually(t, readyTime, "ZooKeeper's client to do: "+strings.Join(command, " "), func() bool {
		out, err := n.at.try(t, nil, "java", args...)
		output = out
		return err == nil
	})
	return output
}
