package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// zooKeeperTimeout is how long Java and ZooKeeper may take to listen.
const zooKeeperTimeout = 60 * time.Second

// zooKeeperJar is where Debian puts ZooKeeper; it names the other files that it needs.
const zooKeeperJar = "/usr/share/java/zookeeper.jar"

// ZooKeeper starts Debian's ZooKeeper on a free port of 127.0.0.1 and returns when it
// listens, whether it serves or not; see [Eventually]. Each line is appended to its
// configuration file.
func ZooKeeper(t testing.TB, lines ...string) (netip.AddrPort, *Process) {
	t.Helper()
	if _, err := os.Stat(zooKeeperJar); err != nil {
		t.Fatalf("%v: run `make deps` first", err)
	}
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), Port(t))
	dir := t.TempDir()
	config := append([]string{
		"tickTime=500", "initLimit=10", "syncLimit=5",
		"dataDir=" + dir,
		fmt.Sprintf("clientPort=%d", addr.Port()),
		"clientPortAddress=127.0.0.1",
		"admin.enableServer=false",
	}, lines...)
	for name, text := range map[string]string{"zoo.cfg": strings.Join(config, "\n") + "\n", "myid": "1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, command{
		path: system(t, "java"),
		args: []string{"-Xmx128m", "-cp", zooKeeperJar, "org.apache.zookeeper.server.quorum.QuorumPeerMain", filepath.Join(dir, "zoo.cfg")},
		env:  []string{}, dir: dir,
	})
	p.await(t, zooKeeperTimeout, "to listen", func() bool {
		conn, err := net.Dial("tcp", addr.String())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return addr, p
}
