package lab

import "testing"

// HAProxy starts HAProxy as a master with workers, as a host runs it, and returns at
// once. The socket of the master lies at masterSocket.
func HAProxy(t testing.TB, config, masterSocket string) *Process {
	t.Helper()
	return start(t, command{path: system(t, "haproxy"), args: []string{"-W", "-S", masterSocket + ",mode,600", "-f", config}, env: []string{}})
}

// ConsulTemplate starts the consul-template that `make tools` built, with only the
// environment given ("NAME=value"), and returns at once.
func ConsulTemplate(t testing.TB, env []string, args ...string) *Process {
	t.Helper()
	return start(t, command{path: builtBinary(t, "consul-template", "tools"), args: args, env: env})
}
