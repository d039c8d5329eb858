package launcher

import "strconv"

const (
	mesosAgentPort = 5051
)

// DockerSocket is where Docker is spoken to.
const DockerSocket = "/var/run/docker.sock"

// mesosAgent is the Mesos agent. SIGTERM ends it and leaves its tasks running for the
// next one to find; SIGUSR1 would take the host out of service.
func mesosAgent(b *builder) Daemon {
	args := []arg{
		joinedArg("--master", b.zooKeeperURL("mesos")),
		joinedArg("--work_dir", b.state("mesos-agent")),
		joinedArg("--runtime_dir", b.run("mesos-agent")),
		joinedArg("--ip", addrText(b.ListenIP)),
		joinedArg("--advertise_ip", addrText(b.HostIP)),
		joinedArg("--hostname", b.FQDN),
		joinedArg("--port", strconv.Itoa(mesosAgentPort)),
		joinedArg("--containerizers", "docker,mesos"),
		joinedArg("--docker_socket", DockerSocket),
		joinedArg("--executor_registration_timeout", "5mins"),
		joinedArg("--systemd_enable_support", "false"),
	}
	argv := arguments([]string{"mesos-agent"}, args, b.MesosSlave)
	web := portOption(argv, "port", mesosAgentPort)
	d := Daemon{
		Name: "mesos-agent", Run: b.StartMesosSlave, Because: b.because("START_MESOS_SLAVE", "SLAVE"),
		User: b.MesosSlave.User, NOFile: b.MesosSlave.NOFile,
		Argv: argv, Env: b.env(b.state("mesos-agent"), nil),
		Probe: b.probeHTTP(web, "/health"), After: []string{Docker, "consul"},
		Stop: Stop{"SIGTERM", 10}, TasksOutlive: true,
	}
	d.tcp(b.ListenIP, "MESOS_SLAVE_PARAMS", web)
	return d
}
