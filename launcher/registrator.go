package launcher

import (
	"slices"
	"strings"
)

// registrator registers Docker's containers in Consul.
func registrator(b *builder) Daemon {
	args := []arg{
		joinedArg("-ip", addrText(b.HostIP)),
		bareArg("-cleanup"),
		joinedArg("-resync", "60"),
		joinedArg("-retry-attempts", "-1"),
	}
	argv := arguments([]string{"registrator"}, args, b.Registrator)
	if len(b.Registrator.AppParams) == 0 {
		// It takes nothing for an option that stands after the address.
		argv = append(slices.Clip(argv), registry(b.ConsulHTTPAddr, b.consulOverTLS()))
	}
	env := map[string]string{"DOCKER_HOST": "unix://" + DockerSocket, "CONSUL_HTTP_TOKEN": b.consulToken()}
	if b.consulOverTLS() { // under names of its own
		env["CONSUL_CACERT"], env["CONSUL_TLSCERT"], env["CONSUL_TLSKEY"] = b.ConsulCACert, b.ConsulClientCert, b.ConsulClientKey
	}
	return Daemon{
		Name: "registrator", Run: b.StartRegistrator, Because: b.because("START_REGISTRATOR", "SLAVE"),
		User: b.Registrator.User, NOFile: b.Registrator.NOFile, Argv: argv,
		Env:   b.env(b.state("registrator"), env),
		Probe: Probe{Kind: ProbeRunning}, After: []string{Docker, "consul"},
		Stop: Stop{"SIGTERM", 10},
	}
}

// registry is Consul's address as Registrator takes it.
func registry(address string, overTLS bool) string {
	scheme, rest, ok := strings.Cut(address, "://")
	switch {
	case !ok && overTLS:
		return "consul-tls://" + address
	case !ok:
		return "consul://" + address
	case scheme == "https":
		return "consul-tls://" + rest
	case scheme == "unix":
		return "consul-unix://" + rest
	}
	return "consul://" + rest
}
