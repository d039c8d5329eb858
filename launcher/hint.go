package launcher

import "fmt"

// hints say how to get the program of a daemon on Debian, and where what Debian does
// not have is to be found.
var hints = map[string]string{
	"consul":          "install HashiCorp's package (https://developer.hashicorp.com/consul/install), or put the program into /usr/local/bin; `make tools` in the source of panteras builds bin/consul",
	"consul-template": "put the program of https://releases.hashicorp.com/consul-template into /usr/local/bin (`make tools` in the source of panteras builds bin/consul-template), or set START_CONSUL_TEMPLATE=false",
	"zookeeper":       "apt-get install --no-install-recommends libzookeeper-java default-jre-headless, and useradd --system zookeeper, or it runs as root (the package zookeeper would bring a Java with a display)",
	"haproxy":         "apt-get install haproxy",
	"keepalived":      "apt-get install keepalived",
	"mesos-master":    retired("Mesos ended with 1.11.0 (2020)", "START_MESOS_MASTER"),
	"mesos-agent":     retired("Mesos ended with 1.11.0 (2020)", "START_MESOS_SLAVE"),
	"marathon":        retired("Marathon ended in 2021", "START_MARATHON"),
	"chronos":         retired("Chronos ended in 2018", "START_CHRONOS"),
	"registrator":     retired("Registrator has had no release since 2016", "START_REGISTRATOR"),
}

func retired(fact, setting string) string {
	return fmt.Sprintf("set %s=false, or install a build of your own: %s, and no distribution has a package", setting, fact)
}

// InstallHint says how to get the program of a daemon.
func InstallHint(daemon string) string {
	if hint, ok := hints[daemon]; ok {
		return hint
	}
	return "install it"
}

// Retired tells whether nobody maintains a daemon's program any more. Most hosts of
// today do without it.
func Retired(daemon string) bool {
	switch daemon {
	case "mesos-master", "mesos-agent", "marathon", "chronos", "registrator":
		return true
	}
	return false
}
