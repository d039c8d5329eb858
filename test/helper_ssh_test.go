package test

import (
	"os"
	"os/exec"
	"testing"

	"panteras/internal/lab"
)

// sshd serves logins on a host by a key that the other one has, whose ssh finds it as
// name. It returns what ends it.
func (d *typedHost) sshd(t *testing.T, address, name string, from *typedHost) (end func()) {
	t.Helper()
	dir := t.TempDir()
	for _, key := range []string{"host", "login"} {
		d.run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir+"/"+key)
	}
	var server *lab.Process
	d.do(t, func() {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where it is before a login
			t.Fatal(err)
		}
		put(t, dir+"/sshd_config", "ListenAddress "+address+"\nHostKey "+dir+"/host\nAuthorizedKeysFile "+dir+"/login.pub\nStrictModes no\nUsePAM no\nPidFile none\n")
		server = lab.Start(t, exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", dir+"/sshd_config"))
	})
	from.do(t, func() {
		put(t, "/etc/ssh/ssh_config", "Host "+name+"\n  HostName "+address+"\n  User root\n  IdentityFile "+dir+"/login\n  UserKnownHostsFile /dev/null\n  StrictHostKeyChecking no\n  LogLevel ERROR\n")
	})
	lab.Eventually(t, patience, "sshd", func() bool { return from.reaches(t, address+":22") })
	return server.Kill
}
