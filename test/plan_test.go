package test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestPlanOfNobody has no rights, and folders that are not there yet: `panteras plan` needs none, and tries to make nothing.
func TestPlanOfNobody(t *testing.T) {
	t.Parallel()
	const nobody, folder = 65534, "/run/panteras-of-nobody"
	program, err := os.Open(panterasPath(t)) // nobody may not walk to it
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	cmd := exec.Command("/proc/self/fd/3", "plan", "--files")
	cmd.ExtraFiles = []*os.File{program}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=node-1", "IP=192.0.2.10",
		"RUN_DIR=" + folder + "/run", "STATE_DIR=" + folder + "/state", "LOG_DIR=" + folder + "/log",
	}
	output, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(output), folder+"/run") || strings.Contains(string(output), "permission denied") {
		t.Errorf("%v: %s", err, output)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("it has made %s (%v)", folder, err)
	}
}
