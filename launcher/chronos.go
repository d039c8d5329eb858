package launcher

import (
	"strconv"
	"strings"
)

const chronosPort = 4400

// chronos is Chronos.
func chronos(b *builder) Daemon {
	args := []arg{
		spacedArg("--master", b.zooKeeperURL("mesos")),
		spacedArg("--zk_hosts", b.zooKeeperList()),
		spacedArg("--http_address", addrText(b.ListenIP)),
		spacedArg("--http_port", strconv.Itoa(chronosPort)),
		spacedArg("--hostname", b.Hostname),
	}
	argv := arguments([]string{"chronos", "run_jar"}, args, b.Chronos)
	web := portOption(argv, "http_port", chronosPort)
	d := Daemon{
		Name: "chronos", Run: b.StartChronos, Because: b.because("START_CHRONOS", "MASTER"),
		User: b.Chronos.User, NOFile: b.Chronos.NOFile,
		Argv: argv, Env: b.env(b.state("chronos"), map[string]string{"JAVA_OPTS": strings.Join(b.ChronosJavaOpts, " ")}),
		Probe: b.probeHTTP(web, "/ping"), After: []string{"zookeeper", "mesos-master"},
		Stop: Stop{"SIGTERM", 10},
	}
	d.tcp(b.ListenIP, "CHRONOS_PARAMS", web)
	return d
}
