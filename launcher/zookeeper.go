package launcher

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The ports by which the servers of an ensemble follow and elect their leader.
const (
	zooKeeperFollow = 2888
	zooKeeperElect  = 3888
)

// zooKeeperJars are where Debian puts them. The first one names all that it needs but
// those for its log, which goes nowhere without the others.
const zooKeeperJars = zooKeeperJar + ":/usr/share/java/slf4j-log4j12.jar:/usr/share/java/log4j-1.2.jar"

const zooKeeperJar = "/usr/share/java/zookeeper.jar"

// zooKeeperLog sends the log to the console, where the launcher takes it.
const zooKeeperLog = `log4j.rootLogger=INFO, CONSOLE
log4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender
log4j.appender.CONSOLE.layout=org.apache.log4j.PatternLayout
log4j.appender.CONSOLE.layout.ConversionPattern=%d{ISO8601} - %-5p [%t:%C{1}@%L] - %m%n
`

// zooKeeper runs the Java class itself instead of zkServer.sh, so that nothing of
// /etc/zookeeper counts and signals reach it.
func zooKeeper(b *builder) Daemon {
	config := b.run("zookeeper", "zoo.cfg")
	args := []arg{}
	for _, word := range b.ZooKeeperJavaOpts {
		args = append(args, arg{text: []string{word}, repeats: true})
	}
	args = append(args,
		spacedArg("-cp", b.run("zookeeper")+":"+zooKeeperJars),
		bareArg("org.apache.zookeeper.server.quorum.QuorumPeerMain"),
		bareArg(config))
	files := []File{
		{Path: config, Mode: "0600", Content: b.zooConfig()},
		{Path: b.run("zookeeper", "log4j.properties"), Mode: "0600", Content: zooKeeperLog},
	}
	if b.ZooKeeperID > 0 {
		files = append(files, File{Path: b.state("zookeeper", "myid"), Mode: "0600", Content: strconv.Itoa(b.ZooKeeperID) + "\n"})
	}
	client := b.zooKeeperPort()
	d := Daemon{
		Name: "zookeeper", Run: b.StartZooKeeper, Because: b.because("START_ZOOKEEPER", "MASTER"),
		User: b.ZooKeeper.User, NOFile: b.ZooKeeper.NOFile,
		Argv: arguments([]string{"java"}, args, b.ZooKeeper), Env: b.env(b.state("zookeeper"), nil), Files: files,
		Probe: Probe{Kind: ProbeZooKeeper, Address: netip.AddrPortFrom(b.probeAddr(), client).String()},
		Stop:  Stop{"SIGTERM", 10},
	}
	if len(b.ZooKeeper.AppParams) == 0 {
		d.Needs = []string{zooKeeperJar}
	}
	d.tcp(b.ListenIP, "ZOOKEEPER_HOSTS", client)
	if b.ZooKeeperID > 0 {
		d.tcp(netip.Addr{}, "ZOOKEEPER_HOSTS", zooKeeperFollow, zooKeeperElect)
	}
	return d
}

func (b *builder) zooConfig() string {
	lines := []string{
		"tickTime=2000",
		"initLimit=10",
		"syncLimit=5",
		"dataDir=" + b.state("zookeeper"),
		fmt.Sprintf("clientPort=%d", b.zooKeeperPort()),
		"clientPortAddress=" + addrText(b.ListenIP),
		"autopurge.snapRetainCount=3",
		"autopurge.purgeInterval=1",
		"4lw.commands.whitelist=srvr,ruok,mntr,stat",
		"# Its own web server would take port 8080, which is Marathon's.",
		"admin.enableServer=false",
	}
	if b.ZooKeeperID > 0 {
		for i, h := range b.ZooKeeperHosts {
			host := h.Host
			if strings.Contains(host, ":") {
				host = "[" + host + "]"
			}
			lines = append(lines, fmt.Sprintf("server.%d=%s:%d:%d", i+1, host, zooKeeperFollow, zooKeeperElect))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// zooKeeperPort is the port of this host in the list.
func (b *builder) zooKeeperPort() uint16 {
	i := b.ZooKeeperID - 1
	if i < 0 {
		i = max(0, slices.Index(b.zooKeeperPositions(), true))
	}
	return b.ZooKeeperHosts[min(i, len(b.ZooKeeperHosts)-1)].Port
}

// zooKeeperPositions tells for each server of the list whether it is this host for sure.
func (b *builder) zooKeeperPositions() []bool {
	var list []bool
	for _, h := range b.ZooKeeperHosts {
		a, err := netip.ParseAddr(h.Host)
		list = append(list, strings.EqualFold(h.Host, b.Hostname) || strings.EqualFold(h.Host, b.FQDN) || err == nil && b.isOwn(a))
	}
	return list
}

// isOwn tells whether an address is this host's.
func (b *builder) isOwn(a netip.Addr) bool {
	return slices.Contains([]netip.Addr{b.IP, b.HostIP, b.ListenIP}, a) || b.interfaceOf(a) != ""
}
