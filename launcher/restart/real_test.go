package restart

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"panteras/internal/lab"
)

// The codes in the table are those of the real programs.
func TestRealPrograms(t *testing.T) {
	nonsense := filepath.Join(t.TempDir(), "zoo.cfg")
	if err := os.WriteFile(nonsense, []byte("clientPort=none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	notHCL := filepath.Join(t.TempDir(), "template.hcl")
	if err := os.WriteFile(notHCL, []byte("nonsense {"), 0o600); err != nil {
		t.Fatal(err)
	}
	template := filepath.Join(lab.Root(t), "bin", "consul-template")
	for _, test := range []struct {
		daemon string
		argv   []string
	}{
		{"consul-template", []string{template, "-no-such-flag"}},
		{"consul-template", []string{template, "-config=" + notHCL}},
		{"zookeeper", []string{"java", "-cp", "/usr/share/java/zookeeper.jar", "org.apache.zookeeper.server.quorum.QuorumPeerMain", nonsense}},
	} {
		t.Run(test.daemon, func(t *testing.T) {
			output, err := exec.Command(test.argv[0], test.argv[1:]...).CombinedOutput()
			ended, ok := err.(*exec.ExitError)
			if !ok {
				t.Fatalf("%v: run `make deps tools` first", err)
			}
			if d := Decide(test.daemon, Exit{Code: ended.ExitCode()}, 0, middle); d.Kind != Final {
				t.Errorf("%q ended with %d: %+v\n%s", test.argv, ended.ExitCode(), d, output)
			}
		})
	}
}
