package launcher

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSameEnv(t *testing.T) {
	t.Parallel()
	env := func(path, home string) map[string]string { return map[string]string{"PATH": path, "HOME": home} }
	for _, c := range []struct {
		a, b map[string]string
		want bool
	}{
		{env(systemPath, "/"), env(systemPath, "/"), true},
		{env(systemPath, "/"), env(systemPath+":/opt/v2", "/"), true},
		{env(systemPath+":/opt/v1", "/"), env(systemPath+":/opt/v2", "/"), true},
		{env(systemPath+":/opt/v1", "/"), env(systemPath+":/opt/v2", "/root"), false},
		{env("/opt/java", "/"), env(systemPath, "/"), false},
		{env("/opt/java", "/"), env("/opt/java2", "/"), false},
		{env(systemPath, "/"), map[string]string{"PATH": systemPath}, false},
	} {
		if got := SameEnv(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: %v", c.a, c.b, got)
		}
	}
}

func TestVariablesForDaemonsReachThemUnseen(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"host": "IP=192.168.2.81\nHOSTNAME=masterhost-1\n",
		"env":  "SMTP_PASSWORD=geheim-genug\nPATH=/evil\nDNS_PORT=54\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := planDir(t, dir, "192.168.2.81")
	marathon := daemonOf(t, p, "marathon")
	if marathon.Env["SMTP_PASSWORD"] != "geheim-genug" || strings.Contains(marathon.Env["PATH"], "evil") {
		t.Errorf("Marathon's environment is %v", marathon.Env)
	}
	if env := daemonOf(t, p, "dns").Env; env["DNS_PORT"] != "" || env["SMTP_PASSWORD"] != "" {
		t.Errorf("a daemon that is this program takes them for settings: %v", env)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "geheim") || !strings.Contains(string(text), `"SMTP_PASSWORD":"********"`) {
		t.Error("the plan shows a variable's value, or not that there is one")
	}
	if masked := p.Mask("login with geheim-genug failed"); strings.Contains(masked, "geheim") {
		t.Errorf("a log line shows it: %s", masked)
	}
}
