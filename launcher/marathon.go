package launcher

import (
	"strconv"
	"strings"
)

const marathonPort = 8080

// marathon is Marathon.
func marathon(b *builder) Daemon {
	args := []arg{
		spacedArg("--master", b.zooKeeperURL("mesos")),
		spacedArg("--zk", b.zooKeeperURL("marathon")),
		spacedArg("--hostname", b.Hostname),
		spacedArg("--http_address", addrText(b.ListenIP)),
		spacedArg("--http_port", strconv.Itoa(marathonPort)),
	}
	argv := arguments([]string{"marathon"}, args, b.Marathon)
	web := portOption(argv, "http_port", marathonPort)
	d := Daemon{
		Name: "marathon", Run: b.StartMarathon, Because: b.because("START_MARATHON", "MASTER"),
		User: b.Marathon.User, NOFile: b.Marathon.NOFile,
		Argv: argv, Env: b.env(b.state("marathon"), map[string]string{"JAVA_OPTS": strings.Join(b.MarathonJavaOpts, " ")}),
		Probe: b.probeHTTP(web, "/v2/leader"), After: []string{"zookeeper", "mesos-master"},
		Stop: Stop{"SIGTERM", 10},
	}
	d.tcp(b.ListenIP, "MARATHON_PARAMS", web)
	return d
}
