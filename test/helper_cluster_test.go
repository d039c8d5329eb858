package test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// lan is some hosts in network namespaces of their own, connected by a bridge in that of
// the test.
type lan struct {
	test  int // the descriptor of the test's namespace
	hosts []*lanHost
}

// lanHost is one of them: 10.7.0.1 is the first.
type lanHost struct {
	*upHost
	lan     *lan
	network int
	ip      string
}

// newLAN connects n hosts, on which nothing runs yet.
func newLAN(t *testing.T, n int) *lan {
	t.Helper()
	ownNetwork(t)
	l := &lan{test: networkFile(t)}
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "lan"}}); err != nil {
		t.Fatalf("cannot add a bridge: %v", err)
	}
	linkUp(t, "lan")
	bridge, err := netlink.LinkByName("lan")
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		h := &lanHost{lan: l, ip: fmt.Sprintf("10.7.0.%d", i+1)}
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Fatal(err)
		}
		h.network = networkFile(t)
		l.enter(t, l.test)
		wire := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("host%d", i+1), MasterIndex: bridge.Attrs().Index},
			PeerName:  "eth0", PeerNamespace: netlink.NsFd(h.network),
		}
		if err := netlink.LinkAdd(wire); err != nil {
			t.Fatalf("cannot connect a host: %v", err)
		}
		linkUp(t, wire.Name)
		h.do(t, func() {
			linkUp(t, "lo")
			linkUp(t, "eth0")
			addAddress(t, "eth0", h.ip+"/24")
			h.upHost = newHost(t, h.ip)
		})
		l.hosts = append(l.hosts, h)
	}
	return l
}

// networkFile is a descriptor of the namespace that the test is in now.
func networkFile(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func (l *lan) enter(t *testing.T, network int) {
	t.Helper()
	if err := unix.Setns(network, unix.CLONE_NEWNET); err != nil {
		t.Fatalf("cannot enter a network namespace: %v", err)
	}
}

// do does something on the host: the test's thread goes there and comes back.
func (h *lanHost) do(t *testing.T, f func()) {
	t.Helper()
	h.lan.enter(t, h.network)
	defer h.lan.enter(t, h.lan.test)
	f()
}

// start runs `panteras up` on the host.
func (h *lanHost) start(t *testing.T) {
	t.Helper()
	h.do(t, func() { h.up(t) })
}

// get asks the Consul of the host.
func (h *lanHost) get(t *testing.T, path string) (body string) {
	t.Helper()
	h.do(t, func() { body = httpGet(h.ip+":8500", path) })
	return body
}

// zooKeeperMode is what the host's ZooKeeper is: leader, follower, standalone, or "" if it
// does not serve.
func (h *lanHost) zooKeeperMode(t *testing.T) (mode string) {
	t.Helper()
	h.do(t, func() { mode = zooKeeperMode(h.ip + ":2181") })
	return mode
}

// zooKeeperMode is the same of any ZooKeeper.
func zooKeeperMode(addr string) (mode string) {
	_, mode = askZooKeeper(addr)
	return mode
}

// askZooKeeper also tells whether it runs.
func askZooKeeper(addr string) (runs bool, mode string) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return false, ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = conn.Write([]byte("srvr"))
	for answer := bufio.NewScanner(conn); answer.Scan(); {
		if m, ok := strings.CutPrefix(answer.Text(), "Mode: "); ok {
			mode = m
		}
	}
	return true, mode
}

// settings are those of the host that its environment would otherwise hold; from now on
// its restricted/host does.
func (h *lanHost) settings(t *testing.T, lines ...string) {
	t.Helper()
	var env []string
	for _, e := range h.env {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "PATH", "STATE_DIR", "RUN_DIR", "LOG_DIR":
			env = append(env, e)
		}
	}
	h.env = env
	put(t, h.path("restricted", "host"), strings.Join(lines, "\n")+"\n")
}
