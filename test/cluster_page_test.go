package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/tunnel"
)

// testCommandsOfThePage types what docs/operations.md says, and looks at what comes of it.
func testCommandsOfThePage(t *testing.T, l *logbook) {
	o, page := l.o, l.page
	gateway, twin := o.slaves()[0], o.slaves()[1]
	if peers := o.follow(t, page, "New Consul, ZooKeeper, HAProxy"); !strings.Contains(peers, "zookeeper") {
		t.Errorf("status says %q", peers)
	}

	// The peers are lost; nobody notices, and a restore brings them back.
	l.backup = page["Backup"]
	o.follow(t, page, "Backup")
	l.asWritten(t, "all peers are deleted from Consul and restored", time.Second, func() {
		gateway.consul(t, "kv", "delete", "-recurse", "panteras/tunnel/")
		if left := gateway.consul(t, "kv", "get", "-keys", "panteras/"); strings.Contains(left, "peers") {
			t.Errorf("there are peers left: %s", left)
		}
		if list := o.follow(t, page, "Restore"); !strings.Contains(list, "laptop") {
			t.Errorf("after the restore there are the peers %q", list)
		}
	})

	// Keys that the laptop has nothing to do with.
	token := gateway.path("state", "token")
	before, _ := os.ReadFile(token)
	o.follow(t, page, "The token of the status page and the API")
	if after, err := os.ReadFile(token); err != nil || string(after) == string(before) {
		t.Errorf("the token is still what it was (%v)", err)
	}
	n := l.write(t, "another gossip key", func() { o.rotateGossipKey(t, page) })
	atMost(t, "another gossip key", n["page"], time.Second)
	// The restart of the gateway's Consul is what is noticed.
	n = l.write(t, "`panteras reload` with it on five hosts", func() { o.reloadWithGossipKey(t) })
	atMost(t, "reload", n["page"], gatewayBack)

	// Keys of the tunnel: the old file ends, the new one works.
	file := "laptop.conf"
	for _, step := range []struct {
		section, next string
		between       func()
	}{
		{"A peer's", "laptop2.conf", func() {}},
		{"The gateway's", "laptop3.conf", func() { copyKey(t, gateway, twin) }},
	} {
		commands := page[step.section]
		for i, c := range commands {
			if c.host == twin.name {
				step.between()
			}
			if out := o.named(t, c.host).shell(t, c.command); i == 2 {
				key, err := tunnel.NewFolder(gateway.path("state")).Secrets()
				if err != nil || strings.TrimSpace(out) != key.Private.Public().String() {
					t.Errorf("%s prints %q (%v)", c.command, out, err)
				}
			}
		}
		delete(page, step.section)
		lab.Eventually(t, readyTime, file+" not to work any more", func() bool { return !o.laptop.pings(t, tunnelGateway) })
		o.laptop.run(t, "wg-quick", "down", filepath.Join(l.files, file))
		file = step.next
		l.handOver(t, gateway, file)
		wgQuickUp(t, o.laptop, filepath.Join(l.files, file), currentWireGuard(t))
		began := time.Now()
		lab.Eventually(t, readyTime, file+" to work", func() bool { return l.visitor.content(visits, began) })
	}

	// A host that never comes back.
	o.losePower(t, twin)
	lab.Eventually(t, readyTime, twin.name+" to count as failed", func() bool {
		for line := range strings.Lines(o.masters()[0].consul(t, "members")) {
			if strings.HasPrefix(line, twin.name+" ") {
				return strings.Contains(line, " failed ")
			}
		}
		return false
	})
	o.follow(t, page, "Lose a host")
	lab.Eventually(t, readyTime, twin.name+" to be forgotten", func() bool { return !strings.Contains(o.masters()[0].consul(t, "members"), twin.name) })
}

// rotateGossipKey does what the page says: afterwards all know the new key alone.
func (o *operated) rotateGossipKey(t *testing.T, page map[string][]onHost) {
	t.Helper()
	o.follow(t, page, "The gossip key")
	key := o.newGossipKey(t)
	if keys := o.masters()[0].consul(t, "keyring", "-list"); !strings.Contains(keys, key+" [5/5]") || strings.Count(keys, "[5/5]") != strings.Count(keys, key+" [5/5]") {
		t.Errorf("the hosts know the keys %s, want %s alone", keys, key)
	}
}

// newGossipKey is the key that the page makes.
func (o *operated) newGossipKey(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(o.masters()[0].path("new.key"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// reloadWithGossipKey gives every host the settings that the page says.
func (o *operated) reloadWithGossipKey(t *testing.T) {
	t.Helper()
	key := o.newGossipKey(t)
	common, _ := filesOfThePage(t)
	old := strings.Fields(strings.SplitAfter(common, "-encrypt=")[1])[0]
	for _, n := range o.nodes {
		put(t, n.path("restricted", "common"), strings.ReplaceAll(common, old, key))
		n.shell(t, "panteras reload")
		o.whole(t)
		lab.Eventually(t, readyTime, "both instances to pass", func() bool {
			passing := ""
			n.at.do(t, func() { passing = httpGet(n.ip+":8500", "/v1/health/service/python?passing&consistent") })
			return strings.Count(passing, `"Service":"python"`) == 2
		})
	}
}
