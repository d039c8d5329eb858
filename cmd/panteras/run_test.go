package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"panteras/configs"

	"github.com/spf13/cobra"
)

// outcome is what a command line left behind.
type outcome struct {
	code           int
	stdout, stderr string
}

// runIn runs a command line in an empty folder with the files as ./restricted.
// The environment gives the host an address, so that defaults do not depend on
// the machine.
func runIn(t *testing.T, files map[string]string, env []string, args ...string) outcome {
	t.Helper()
	t.Chdir(t.TempDir())
	if files != nil {
		if err := os.Mkdir("restricted", 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join("restricted", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	code := run(args, append([]string{"IP=10.0.0.5"}, env...), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		args           []string
		code           int
		stdout, stderr string // pieces
	}{
		{nil, 0, "Usage:", ""},
		{[]string{"--help"}, 0, "default < common < host < overwrite < environment < flag", ""},
		{[]string{"settings", "--help"}, 0, "--dns-port", ""},
		{[]string{"settings", "--help"}, 0, "--restricted DIR", ""},
		{[]string{"up", "--help"}, 0, "--run-dir", ""},
		{[]string{"doctor", "--help"}, 0, "--state-dir", ""},
		{[]string{"export", "compose", "--help"}, 0, "--state-dir", ""},
		{[]string{"settings"}, 0, "NAME", ""},
		{[]string{"export"}, 0, "compose", ""},
		{[]string{"export", "compose", "--cluster-name", "north"}, 0, "CLUSTER_NAME: \"north\"", ""},
		{[]string{"export", "compose", "--dns-port", "x"}, 2, "", "--dns-port: DNS_PORT"},
		{[]string{"export", "systemd", "--cluster-name", "north"}, 0, "Environment=CLUSTER_NAME=north", ""},
		{[]string{"export", "systemd", "--mesos-master-quorum", "3"}, 2, "", "MESOS_MASTER_QUORUM"},
		{[]string{"export", "nomad"}, 2, "", `unknown command "nomad"`},
		{[]string{"export", "compose", "extra"}, 2, "", `see "panteras export compose --help"`},
		{[]string{"doctor", "--dns-port", "x"}, 1, "fail  settings", "see the lines that say fail"},
		{[]string{"doctor", "--nonsense"}, 2, "", "unknown flag"},
		{[]string{"version"}, 0, "panteras ", ""},
		{[]string{"--version"}, 0, "panteras version", ""},
		{[]string{"completion", "bash"}, 0, "bash completion", ""},
		{[]string{"completion", "zsh"}, 0, "#compdef panteras", ""},
		{[]string{"completion", "fish"}, 0, "fish completion", ""},
		{[]string{"completion", "tcsh"}, 2, "", `unknown command "tcsh"`},
		{[]string{"completion", "bash", "x"}, 2, "", "panteras completion bash --help"},
		{[]string{"versoin"}, 2, "", "did you mean version?"},
		{[]string{"nonsense"}, 2, "", `unknown command "nonsense"; see "panteras --help"`},
		{[]string{"--nonsense"}, 2, "", "unknown flag: --nonsense"},
		{[]string{"settings", "--nonsense"}, 2, "", `unknown flag: --nonsense; see "panteras settings --help"`},
		{[]string{"settings", "extra"}, 2, "", `see "panteras settings --help"`},
		{[]string{"settings", "--json", "--markdown"}, 2, "", "exclude each other"},
		{[]string{"settings", "--dns-port"}, 2, "", "flag needs an argument"},
		{[]string{"settings", "--dns-port", "x"}, 2, "DNS_PORT", `panteras: --dns-port: DNS_PORT="x" must be a port number`},
		{[]string{"settings", "--restricted", "/nowhere"}, 2, "", "panteras: the settings folder /nowhere does not exist"},
		{[]string{"--restricted", "/nowhere", "settings"}, 2, "", "/nowhere does not exist"},
		{[]string{"settings", "--consul-http-token", "t0ken"}, 2, "", "CONSUL_HTTP_TOKEN is a secret"},
		{[]string{"settings", "--consul-http-token=t0ken"}, 2, "", "CONSUL_HTTP_TOKEN is a secret"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			got := runIn(t, nil, nil, test.args...)
			if got.code != test.code || !strings.Contains(got.stdout, test.stdout) || !strings.Contains(got.stderr, test.stderr) {
				t.Errorf("exit code %d, want %d with %q on stdout and %q on stderr\nstdout: %s\nstderr: %s",
					got.code, test.code, test.stdout, test.stderr, got.stdout, got.stderr)
			}
			if test.code != 0 && strings.Contains(got.stdout+got.stderr, "Usage:") {
				t.Errorf("an error comes with the usage text:\n%s%s", got.stdout, got.stderr)
			}
			if strings.Contains(got.stdout+got.stderr, "t0ken") {
				t.Errorf("a secret is in the output:\n%s%s", got.stdout, got.stderr)
			}
		})
	}
}

func TestSettingsTable(t *testing.T) {
	files := map[string]string{"host": "DNS_PORT=1053\nCONSUL_HTTP_TOKEN=t0ken-of-consul\nDNSMASQ_ADDRESS=' '\n"}
	got := runIn(t, files, []string{"LOG_LEVEL=error"}, "settings", "--dns-mode", "direct")
	rows := map[string][]string{}
	for _, line := range strings.Split(got.stdout, "\n") {
		if fields := strings.Fields(line); len(fields) > 0 {
			rows[fields[0]] = fields[1:]
		}
	}
	for name, want := range map[string]string{
		"NAME":              "VALUE ORIGIN",
		"DNS_PORT":          "1053 restricted/host:1",
		"DNS_LISTEN":        "0.0.0.0:1053,[::]:1053 default",
		"CONSUL_HTTP_TOKEN": "******** restricted/host:2",
		"DNSMASQ_ADDRESS":   `" " restricted/host:3`,
		"LOG_LEVEL":         "error environment",
		"DNS_ROUTES":        "- default",
		"START_DNSMASQ":     "true alias of START_DNS",
	} {
		if row := strings.Join(rows[name], " "); row != want {
			t.Errorf("%s: %q, want %q", name, row, want)
		}
	}
	if got.code != 0 || got.stderr != "" || strings.Contains(got.stdout, "t0ken") {
		t.Errorf("exit code %d, stderr %q, stdout:\n%s", got.code, got.stderr, got.stdout)
	}
}

func TestSettingsJSON(t *testing.T) {
	got := runIn(t, map[string]string{"overwrite": "CONSUL_HTTP_TOKEN=t0ken-of-consul"}, nil, "settings", "--json", "--log-queries", "1/10")
	var parsed struct {
		Settings []struct {
			Name, Value, Origin string
			Secret              *bool
		}
	}
	decoder := json.NewDecoder(strings.NewReader(got.stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&parsed); err != nil {
		t.Fatalf("%v in:\n%s", err, got.stdout)
	}
	all := configs.All()
	if len(parsed.Settings) != len(all) {
		t.Fatalf("%d settings, want %d", len(parsed.Settings), len(all))
	}
	for i, s := range parsed.Settings {
		if s.Name != all[i].Name || s.Secret == nil || *s.Secret != all[i].Secret {
			t.Errorf("entry %d is %+v, want %s in the order of the table", i, s, all[i].Name)
		}
		switch s.Name {
		case "CONSUL_HTTP_TOKEN":
			if s.Value != "********" || s.Origin != "restricted/overwrite:1" {
				t.Errorf("the secret is %+v", s)
			}
		case "LOG_QUERIES":
			if s.Value != "1/10" || s.Origin != "--log-queries" {
				t.Errorf("the flag's setting is %+v", s)
			}
		}
	}
	if strings.Contains(got.stdout+got.stderr, "t0ken") {
		t.Errorf("the secret is in the output:\n%s%s", got.stdout, got.stderr)
	}
}

func TestSettingsMarkdownNeedsNoSettings(t *testing.T) {
	got := runIn(t, map[string]string{"host": "IP=$(x)"}, nil, "settings", "--markdown")
	if got.code != 0 || got.stdout != configs.Markdown() {
		t.Errorf("exit code %d, stdout:\n%s", got.code, got.stdout)
	}
}

func TestSettingsAreShownBesideProblems(t *testing.T) {
	got := runIn(t, map[string]string{"host": "DNS_PORT=x\nLOG_LEVEL=$(y)"}, nil, "settings")
	if got.code != 2 || !strings.Contains(got.stdout, "restricted/host:1") {
		t.Errorf("exit code %d, stdout:\n%s", got.code, got.stdout)
	}
	for _, piece := range []string{"panteras: 2 problems:\n", "\n  restricted/host:2: found a command substitution", "\n  restricted/host:1: DNS_PORT=\"x\" must be"} {
		if !strings.Contains(got.stderr, piece) {
			t.Errorf("stderr lacks %q:\n%s", piece, got.stderr)
		}
	}
}

func TestWarningsAreLogged(t *testing.T) {
	files := map[string]string{"host": "CONSUL_DOMIAN=x"}
	got := runIn(t, files, nil, "settings")
	if got.code != 0 || !strings.Contains(got.stderr, "level=WARN") || !strings.Contains(got.stderr, "did you mean CONSUL_DOMAIN?") {
		t.Errorf("exit code %d, stderr:\n%s", got.code, got.stderr)
	}
	got = runIn(t, files, nil, "settings", "--log-format", "json")
	var entry map[string]any
	if err := json.Unmarshal([]byte(got.stderr), &entry); err != nil || entry["level"] != "WARN" {
		t.Errorf("as JSON: %v in %q", err, got.stderr)
	}
	if got = runIn(t, files, nil, "settings", "--log-level", "error"); got.stderr != "" {
		t.Errorf("at level error stderr holds %q", got.stderr)
	}
}

func TestLoadLooksAtTheHost(t *testing.T) {
	facts := configs.HostFacts{
		Hostname: "node1", DefaultInterface: "eth0",
		Interfaces: []configs.Interface{{Name: "eth0", Addrs: []netip.Addr{netip.MustParseAddr("10.7.7.7")}}},
	}
	var stderr bytes.Buffer
	a := &app{
		stdout: io.Discard, stderr: &stderr, dir: t.TempDir(),
		readHost: func() (configs.HostFacts, error) { return facts, errors.New("cannot read something") },
	}
	loaded, log, err := a.load(&cobra.Command{})
	if err != nil || log == nil || loaded.Settings.IP.String() != "10.7.7.7" || loaded.Settings.Hostname != "node1" {
		t.Errorf("IP %s, error %v", loaded.Settings.IP, err)
	}
	if !strings.Contains(stderr.String(), "cannot read something") {
		t.Errorf("what could not be read is not logged: %q", stderr.String())
	}
}

func TestOtherErrorsAreFailures(t *testing.T) {
	got := run([]string{"settings", "--markdown"}, nil, brokenWriter{}, io.Discard)
	if got != exitFailed {
		t.Errorf("exit code %d when stdout is broken, want %d", got, exitFailed)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestDescribeBuild(t *testing.T) {
	recorded := func(version, commit, modified string) *debug.BuildInfo {
		build := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: commit}, {Key: "vcs.modified", Value: modified}}}
		build.Main.Version = version
		return build
	}
	const commit = "0123456789abcdef0123456789abcdef01234567"
	for _, test := range []struct {
		name, version string
		build         *debug.BuildInfo
		want          string
	}{
		{"nothing known", "", nil, "unknown"},
		{"given at build time", "v1.2.3", recorded("v9.9.9", commit, "true"), "v1.2.3"},
		{"installed as a module", "", recorded("v1.0.0", "", ""), "v1.0.0"},
		{"commit", "", recorded("(devel)", commit, "false"), "0123456789ab"},
		{"changed commit", "", recorded("(devel)", commit, "true"), "0123456789ab+modified"},
	} {
		if got := describeBuild(test.version, test.build).Version; got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	got := runIn(t, nil, nil, "version", "--json")
	var parsed versionInfo
	if err := json.Unmarshal([]byte(got.stdout), &parsed); err != nil || parsed != readVersion() {
		t.Errorf("version --json: %v in %q", err, got.stdout)
	}
}
