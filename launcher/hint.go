package launcher

// InstallHint says how to get the program of a daemon.
func InstallHint(daemon string) string {
	switch daemon {
	case "zookeeper", "haproxy", "keepalived":
		return "install the Debian package " + daemon + " (apt-get install " + daemon + ")"
	case "consul", "consul-template":
		return "install it from HashiCorp, or build it: `make tools` in the source of panteras makes bin/" + daemon + ", which belongs into /usr/local/bin"
	case "mesos-master", "mesos-agent", "marathon", "chronos":
		return "this project has reached the end of its life and no distribution carries it: install the package that you have kept, or take it out of this host's role (START_… = false)"
	case "registrator":
		return "build it from github.com/gliderlabs/registrator, or set START_REGISTRATOR=false"
	}
	return "install it"
}
