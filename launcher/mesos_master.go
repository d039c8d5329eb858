package launcher

import "strconv"

const mesosMasterPort = 5050

// mesosMaster is the Mesos master.
func mesosMaster(b *builder) Daemon {
	args := []arg{
		joinedArg("--zk", b.zooKeeperURL("mesos")),
		joinedArg("--quorum", strconv.Itoa(b.MesosMasterQuorum)),
		joinedArg("--work_dir", b.state("mesos-master")),
		joinedArg("--ip", addrText(b.ListenIP)),
		joinedArg("--advertise_ip", addrText(b.HostIP)),
		joinedArg("--hostname", b.FQDN),
		joinedArg("--port", strconv.Itoa(mesosMasterPort)),
		joinedArg("--cluster", b.ClusterName),
	}
	argv := arguments([]string{"mesos-master"}, args, b.MesosMaster)
	web := portOption(argv, "port", mesosMasterPort)
	d := Daemon{
		Name: "mesos-master", Run: b.StartMesosMaster, Because: b.because("START_MESOS_MASTER", "MASTER"),
		User: b.MesosMaster.User, NOFile: b.MesosMaster.NOFile,
		Argv: argv, Env: b.env(b.state("mesos-master"), nil),
		Probe: b.probeHTTP(web, "/master/health"), After: []string{"zookeeper"},
		Stop: Stop{"SIGTERM", 10},
	}
	d.tcp(b.ListenIP, "MESOS_MASTER_PARAMS", web)
	return d
}
