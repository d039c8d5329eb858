// Package image checks what Docker and Compose get of this module: the Dockerfile, and
// the compose files with their settings.
package image

import (
	"bufio"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"panteras/internal/lab"
)

// missing is check.sh's exit code where it cannot run.
const missing = 77

// TestImage builds the image and runs it on a Docker of its own; see check.sh.
func TestImage(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), filepath.Join(lab.Root(t), "test", "image", "check.sh"))
	// A test that is given up must not leave a Docker: its process group goes, and what is
	// in the namespace of processes with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := ""
	for lines := bufio.NewScanner(output); lines.Scan(); {
		last = lines.Text()
		t.Log(last)
	}
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == missing {
		t.Skip(strings.TrimPrefix(last, "skip: "))
	}
	if err != nil {
		t.Error(err)
	}
}
