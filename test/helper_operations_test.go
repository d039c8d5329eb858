package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"panteras/internal/lab"

	"github.com/vishvananda/netlink"
)

// operated is the cluster of docs/operations.md, and a laptop outside:
//
//	laptop 10.200.0.2 - 10.200.0.1 router 10.7.0.254 - 10.7.0.1 to .5, the five hosts
//
// The router knows the hosts' network and no other of theirs.
type operated struct {
	router, laptop *host
	nodes          []*node
}

// node is one of the five hosts. Its folders outlive it.
type node struct {
	*upHost
	name, ip string
	at       *host // where it is now: anew after each boot
	web      *lab.Process
	settings map[string]string // the files in restricted
}

// The parts of the network that the hosts are plugged into: one, but while it is split.
const (
	wired = "lan"
	apart = "apart"
)

var (
	// hostFile is where a file of settings begins in docs/operations.md.
	hostFile = regexp.MustCompile(`(?m)^# restricted/(common|host) on (.+)$`)
	// setHere are the settings that differ because hosts here share a machine.
	setHere = []string{"DNS_UPSTREAMS=127.0.0.1:9", `ZOOKEEPER_JAVA_OPTS="-Xmx64m -XX:TieredStopAtLevel=1"`}
)

// clusterFiles opens the block of the page that holds them.
const clusterFiles = "```sh settings on=cluster\n"

// filesOfThePage are the files of settings in docs/operations.md: what is common, and by
// the host's address what is its own.
func filesOfThePage(t testing.TB) (common string, own map[string]string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(lab.Root(t), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(page)[strings.Index(string(page), clusterFiles)+len(clusterFiles):], "```")
	own = map[string]string{}
	begins := hostFile.FindAllStringSubmatchIndex(text, -1)
	for i, at := range begins {
		end := len(text)
		if i+1 < len(begins) {
			end = begins[i+1][0]
		}
		file, where := text[at[2]:at[3]], text[at[4]:at[5]]
		if content := text[at[1]+1 : end]; file == "common" {
			common = content
		} else {
			own[where] = content
		}
	}
	if common == "" || len(own) != 5 {
		t.Fatalf("docs/operations.md has the files of %d hosts, want 5, and what is common", len(own))
	}
	return common, own
}

// newOperated makes the network, and hosts on which nothing runs yet.
func newOperated(t testing.TB) *operated {
	t.Helper()
	common, own := filesOfThePage(t)
	o := &operated{router: bareHost(t), laptop: bareHost(t)}
	connect(t, o.laptop, "eth0", "10.200.0.2/24", o.router, "outside", "10.200.0.1/24")
	o.laptop.route(t, "0.0.0.0/0", "10.200.0.1")
	for i := range len(own) {
		n := &node{ip: fmt.Sprintf("10.7.0.%d", i+1)}
		n.settings = map[string]string{"common": common, "host": own[n.ip], "overwrite": strings.Join(setHere, "\n") + "\n"}
		n.name = regexp.MustCompile(`HOSTNAME=(.+)`).FindStringSubmatch(own[n.ip])[1]
		n.upHost = newHost(t, n.ip)
		n.remove(t, standIns...)
		n.env = slices.DeleteFunc(n.env, func(e string) bool {
			return !regexp.MustCompile(`^(PATH|STATE_DIR|RUN_DIR|LOG_DIR)=`).MatchString(e)
		})
		for file, content := range n.settings {
			put(t, n.path("restricted", file), content)
		}
		o.nodes = append(o.nodes, n)
		o.boot(t, n)
	}
	o.router.address(t, wired, "10.7.0.254/24")
	// Or it would be the lowest of the ports', and change when one goes.
	o.router.run(t, "ip", "link", "set", wired, "address", "02:00:0a:07:00:fe")
	o.router.run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	return o
}

func (o *operated) masters() []*node { return o.nodes[:3] }
func (o *operated) slaves() []*node  { return o.nodes[3:] }

// boot gives a host its network, as it is when a machine has just started.
func (o *operated) boot(t testing.TB, n *node) {
	t.Helper()
	n.at = bareHost(t)
	n.at.plug(t, "eth0", n.ip+"/24", o.router, wired)
	// A machine keeps its hardware address, and others remember it.
	n.at.run(t, "ip", "link", "set", "eth0", "address", "02:00:0a:07:00:0"+n.ip[len(n.ip)-1:])
	n.at.route(t, "0.0.0.0/0", "10.7.0.254")
}

// port is the router's end of a host's wire.
func (n *node) port() string { return wired + "-" + n.ip[strings.LastIndex(n.ip, ".")+1:] }

// start runs `panteras up` on a host, and on a slave what serves python.
func (o *operated) start(t testing.TB, n *node) {
	t.Helper()
	web := build(t, "simple-webapp", "./examples/simple-webapp")
	n.at.do(t, func() {
		n.up(t)
		if slices.Contains(o.slaves(), n) {
			n.web = lab.Program(t, web, lab.PanterasOptions{Args: []string{"-listen", ":8001", "-name", n.name}})
		}
	})
}

// started waits until all daemons of a host are ready.
func (o *operated) started(t testing.TB, n *node) {
	t.Helper()
	daemons := []string{"consul", "zookeeper", "dns"}
	if slices.Contains(o.slaves(), n) {
		daemons = []string{"consul", "consul-template", "haproxy", "keepalived", "dns", "tunnel"}
	}
	n.ready(t, daemons...)
}

// losePower ends everything on a host at once, and the wire is dead.
func (o *operated) losePower(t testing.TB, n *node) {
	t.Helper()
	o.router.run(t, "ip", "link", "delete", n.port())
	n.at.do(t, func() {
		_, launcher := n.guardAndLauncher(t, networkOf(t))
		_ = syscall.Kill(launcher, syscall.SIGKILL)
	})
	if n.web != nil {
		n.web.Kill()
	}
	n.Wait(t, patience)
}

// comeBack is the end of a power cut.
func (o *operated) comeBack(t testing.TB, n *node) {
	t.Helper()
	if err := os.RemoveAll(n.path("run")); err != nil { // it was in memory
		t.Fatal(err)
	}
	o.boot(t, n)
	o.start(t, n)
	o.started(t, n)
}

// split takes hosts apart from the others and from the router; none ends it.
func (o *operated) split(t testing.TB, away ...*node) {
	t.Helper()
	o.router.do(t, func() {
		if _, err := netlink.LinkByName(apart); err != nil {
			if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: apart}}); err != nil {
				t.Fatal(err)
			}
			linkUp(t, apart)
		}
		for _, n := range o.nodes {
			into := wired
			if slices.Contains(away, n) {
				into = apart
			}
			port, err := netlink.LinkByName(n.port())
			bridge, err2 := netlink.LinkByName(into)
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			if err := netlink.LinkSetMaster(port, bridge); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// consul runs a command of Consul's on a host.
func (n *node) consul(t testing.TB, args ...string) string {
	t.Helper()
	return n.at.run(t, filepath.Join(n.bin, "consul"), args...)
}

// holder is the slave that alone has the floating address; nil while there is none.
func (o *operated) holder(t testing.TB) (found *node) {
	t.Helper()
	for _, n := range o.slaves() {
		if out, err := n.at.try(t, nil, "ip", "-o", "address", "show", "dev", "eth0"); err == nil && strings.Contains(out, " "+vip+"/") {
			if found != nil {
				return nil
			}
			found = n
		}
	}
	return found
}

// leader is the master that leads Consul as a host sees it; nil if none does.
func (o *operated) leader(t testing.TB, seenBy *node) *node {
	t.Helper()
	said := ""
	seenBy.at.do(t, func() { said = httpGet(seenBy.ip+":8500", "/v1/status/leader") })
	for _, m := range o.masters() {
		if strings.HasPrefix(said, `"`+m.ip+":") {
			return m
		}
	}
	return nil
}

// others are the hosts of a list but one.
func others(list []*node, but *node) []*node {
	return slices.DeleteFunc(slices.Clone(list), func(n *node) bool { return n == but })
}

// whole waits until every host is well and counted, three masters vote, and one host
// holds the floating address.
func (o *operated) whole(t testing.TB) {
	t.Helper()
	for _, n := range o.nodes {
		o.started(t, n)
	}
	lab.Eventually(t, readyTime, "three voters, and five hosts that the leader takes for alive", func() bool {
		var voters, alive string
		n := o.nodes[4]
		n.at.do(t, func() {
			voters, alive = httpGet(n.ip+":8500", "/v1/operator/raft/configuration"), httpGet(n.ip+":8500", "/v1/health/state/passing?consistent")
		})
		return strings.Count(voters, `"Voter":true`) == 3 && strings.Count(alive, `"CheckID":"serfHealth"`) == 5
	})
	lab.Eventually(t, readyTime, "one host to hold the floating address", func() bool { return o.holder(t) != nil })
	lab.Eventually(t, readyTime, "HAProxy to pass on both slaves, as every slave knows", func() bool {
		return !slices.ContainsFunc(o.slaves(), func(n *node) (lacks bool) {
			n.at.do(t, func() {
				lacks = strings.Count(httpGet(n.ip+":8500", "/v1/health/service/haproxy?passing"), `"ID":"panteras:haproxy"`) != 2
			})
			return lacks
		})
	})
}
