package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPlanForPeople(t *testing.T) {
	got := runIn(t, map[string]string{"host": "SLAVE=false\nCONSUL_HTTP_TOKEN=t0ken-of-consul\n"}, nil, "plan")
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("exit code %d, stderr: %s", got.code, got.stderr)
	}
	for _, piece := range []string{
		"DAEMON           RUNS  USER", "haproxy          no    root ", "SLAVE=false (restricted/host:1)",
		"argv  consul agent -server -bootstrap-expect=1 -node=", "/run/panteras/zookeeper/zoo.cfg (0600)",
	} {
		if !strings.Contains(got.stdout, piece) {
			t.Errorf("stdout lacks %q:\n%s", piece, got.stdout)
		}
	}
	if strings.Contains(got.stdout, "tickTime") {
		t.Error("the contents of files are shown without --files")
	}
	if got = runIn(t, map[string]string{"host": "CONSUL_HTTP_TOKEN=t0ken-of-consul"}, nil, "plan", "--files"); !strings.Contains(got.stdout, "| tickTime=2000") || strings.Contains(got.stdout, "t0ken") {
		t.Errorf("--files:\n%s", got.stdout)
	}
}

func TestPlanTellsWhatIsWrong(t *testing.T) {
	files := map[string]string{"host": "MASTER=false\nCONSUL_DOMIAN=x\nCONSUL_DC=UNKNOWN\nSTATUS_LISTEN=127.0.0.1:80\nIP=$(hostname -i)\n"}
	got := runIn(t, files, nil, "plan", "--json")
	if got.code != 2 {
		t.Errorf("exit code %d", got.code)
	}
	for _, piece := range []string{
		"panteras: 3 problems:\n", "\n  restricted/host:5: found a command substitution", "\n  CONSUL_HOSTS is empty, but Consul is a client",
		"\n  restricted/host:4: STATUS_LISTEN=", "did you mean CONSUL_DOMAIN?", "write CONSUL_DC=unknown",
	} {
		if n := strings.Count(got.stderr, piece); n != 1 {
			t.Errorf("stderr holds %q %d times:\n%s", piece, n, got.stderr)
		}
	}
	var plan struct {
		Findings []struct{ Level, Setting string }
		Daemons  []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(got.stdout), &plan); err != nil || len(plan.Findings) != 6 || len(plan.Daemons) != 12 {
		t.Errorf("beside errors: %v, %+v", err, plan)
	}
}

func TestPlanArguments(t *testing.T) {
	for _, test := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"plan", "--json", "--files"}, 2, "exclude each other"},
		{[]string{"plan", "extra"}, 2, `see "panteras plan --help"`},
		{[]string{"plan", "--marathon-params", "--ha", "--slave=false"}, 0, ""},
		{[]string{"dns", "--marathon-params", "--ha"}, 2, "unknown flag: --marathon-params"},
	} {
		if got := runIn(t, nil, nil, test.args...); got.code != test.code || !strings.Contains(got.stderr, test.stderr) {
			t.Errorf("%q: exit code %d, stderr %s", test.args, got.code, got.stderr)
		}
	}
}
