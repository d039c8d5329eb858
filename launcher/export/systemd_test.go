package export

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"panteras/launcher/plantest"

	"panteras/internal/lab"
)

// unitFile writes a unit where systemd finds it and everybody may read it.
func unitFile(t *testing.T, text string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "panteras-unit-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "panteras.service")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// verify fails the test unless systemd finds nothing to say about a unit.
func verify(t *testing.T, path string) {
	t.Helper()
	output, err := exec.Command("systemd-analyze", "verify", path).CombinedOutput()
	if err != nil || strings.Contains(string(output), filepath.Base(path)) {
		t.Errorf("%v: %s (if it is not installed: run `make deps`)", err, output)
	}
}

// understood is what systemd itself reads in a unit, a line "key: value" each.
func understood(t *testing.T, path string) []string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("/lib/systemd/systemd", "--test", "--user", "--unit=panteras.service")
	cmd.Env = []string{"HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "SYSTEMD_UNIT_PATH=" + filepath.Dir(path) + ":"}
	if os.Geteuid() == 0 { // which it refuses
		const nobody = 65534
		for _, d := range []string{dir, filepath.Dir(dir)} {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	_, unit, ok := strings.Cut(string(output), "-> Unit panteras.service:\n")
	if !ok {
		t.Fatalf("systemd says nothing of the unit:\n%s", output)
	}
	var lines []string
	for line := range strings.Lines(unit) {
		if strings.HasPrefix(line, "-> Unit ") {
			break
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

func TestSystemd(t *testing.T) {
	t.Parallel()
	self := filepath.Join(lab.Root(t), "bin", "panteras")
	loaded, plan := plantest.Of(t, "", "CLUSTER_NAME="+nasty, "SLAVE=false", "CONSUL_HTTP_TOKEN=t0ken", `MARATHON_PARAMS=--x='a\b' "--y=%i"`)
	path := unitFile(t, Systemd(loaded, plan, Facts{Self: self, Folder: `/root/my "$folder" 100%`}))
	verify(t, path)
	got := understood(t, path)
	for _, want := range []string{
		"Type: notify", "NotifyAccess: all", "KillMode: mixed", "KillSignal: SIGTERM", "Restart: always", "OOMPolicy: continue", "IgnoreSIGPIPE: no",
		"RestartSec: 2s", "Delegate: yes", "ProtectSystem: full", "LockPersonality: yes",
		fmt.Sprintf("LimitNOFILE: %d", 65536),
		"Environment: CLUSTER_NAME=" + nasty, "Environment: SLAVE=false", `Environment: MARATHON_PARAMS='--x=a\b' --y=%i`,
	} {
		if !slices.Contains(got, want) {
			t.Errorf("systemd does not read %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
	if i := slices.Index(got, "TimeoutStopSec: 1min 25s"); i < 0 || Grace(plan).Seconds() != 85 {
		t.Errorf("grace %v in\n%s", Grace(plan), strings.Join(got, "\n"))
	}
	// It shows the words before it replaces $$.
	if text := strings.Join(got, "\n"); !strings.Contains(text, "Command Line: "+self+" up --restricted") || !strings.Contains(text, "/bin/kill -HUP") || strings.Contains(text, "t0ken") {
		t.Errorf("the commands in\n%s", text)
	}
}

// The Mesos agent must see and do what the host does.
func TestSystemdOfASlave(t *testing.T) {
	t.Parallel()
	self := filepath.Join(lab.Root(t), "bin", "panteras")
	loaded, plan := plantest.Of(t, "")
	text := Systemd(loaded, plan, Facts{Self: self})
	verify(t, unitFile(t, text))
	for _, line := range []string{"ProtectSystem", "RestrictSUIDSGID", "ProtectKernelLogs", "--restricted", "Environment="} {
		if strings.Contains(text, line) {
			t.Errorf("%s is in\n%s", line, text)
		}
	}
	// A folder that would be read-only.
	loaded, plan = plantest.Of(t, "SLAVE=false\nSTATE_DIR=/usr/local/panteras\n")
	if text := Systemd(loaded, plan, Facts{Self: self}); strings.Contains(text, "ProtectSystem") || !strings.Contains(text, "RestrictSUIDSGID=yes") {
		t.Errorf("with a folder in /usr:\n%s", text)
	}
}

func TestUnitText(t *testing.T) {
	for text, want := range map[string]string{
		"plain":    "plain",
		"/a-b=c":   "/a-b=c",
		"":         `""`,
		"a b":      `"a b"`,
		`"`:        `"\""`,
		`\`:        `"\\"`,
		"50%":      "50%%",
		"a\n\tb":   `"a\x0a\x09b"`,
		"it's":     `"it's"`,
		"ü $X":     `"ü $X"`,
		"a;b":      `"a;b"`,
		"\x7f":     `"\x7f"`,
		"${X} %% ": `"${X} %%%% "`,
	} {
		if got := unitText(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if got := commandLine([]string{"/p$x", "a$b", "100%"}); got != "/p$x a$$b 100%%" {
		t.Errorf("%s", got)
	}
}
