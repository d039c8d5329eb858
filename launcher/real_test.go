package launcher

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// built is a program that `make tools` builds.
func built(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../bin/" + name)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v; run `make tools`", err)
	}
	return path
}

// TestRealProgramsKnowTheirFlags holds the arguments against what the programs
// themselves list.
func TestRealProgramsKnowTheirFlags(t *testing.T) {
	plan := goodPlan(t, "CONSUL_DOMAIN=corp.example", "CONSUL_HOSTS=c1 c2 c3", "CONSUL_WAN_HOSTS=c9", "LOG_FORMAT=json",
		"CONSUL_PARAMS=-encrypt 5Hsg7", "CONSUL_HTTP_TOKEN_FILE=/x", "START_REGISTRATOR=false",
		"CONSUL_HTTP_SSL=true", "CONSUL_CACERT=/a", "CONSUL_CAPATH=/b", "CONSUL_CLIENT_CERT=/c", "CONSUL_CLIENT_KEY=/d", "CONSUL_TLS_SERVER_NAME=e")
	for name, help := range map[string][]string{"consul": {"agent", "-h"}, "consul-template": {"-h"}} {
		// Help comes with an exit code of its own, so only the text counts.
		text, _ := exec.Command(built(t, name), help...).CombinedOutput()
		known := regexp.MustCompile(`(?m)^  -[a-z-]+`).FindAllString(string(text), -1)
		options := 0
		for _, word := range daemonOf(t, plan, name).Argv {
			if option, _, _ := strings.Cut(word, "="); strings.HasPrefix(word, "-") {
				options++
				if !slices.Contains(known, "  "+option) {
					t.Errorf("%s does not know %s", name, option)
				}
			}
		}
		if options < 4 {
			t.Errorf("%s has %d options", name, options)
		}
	}
}

func TestConsulTakesTheFileWithTheKey(t *testing.T) {
	consul := built(t, "consul")
	key, err := exec.Command(consul, "keygen").Output()
	if err != nil {
		t.Fatal(err)
	}
	validate := func(key string) ([]byte, error) {
		p := goodPlan(t, "CONSUL_PARAMS=-encrypt="+key)
		dir := t.TempDir()
		for name, content := range map[string]string{
			"encrypt.json": fileOf(t, daemonOf(t, p, "consul"), "encrypt.json"),
			"data.json":    `{"bind_addr":"127.0.0.1","data_dir":"` + dir + `"}`,
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return exec.Command(consul, "validate", dir).CombinedOutput()
	}
	if output, err := validate(strings.TrimSpace(string(key))); err != nil {
		t.Errorf("%v: %s", err, output)
	}
	if output, err := validate("no-key"); err == nil {
		t.Errorf("Consul takes no notice of the file: %s", output)
	}
}
