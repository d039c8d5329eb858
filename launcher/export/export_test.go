package export

import (
	"strings"
	"testing"
	"time"

	"panteras/launcher/plantest"
)

// nasty means something to YAML, to Compose, to systemd, or to all of them.
const nasty = `a "quoted" $HOME ${X:-y} %h 'b'\ ; # {c}: [d], -e`

func TestGraceFitsThePlan(t *testing.T) {
	_, plan := plantest.Of(t, "")
	sum := time.Duration(0)
	for _, d := range plan.Daemons {
		if d.Run {
			sum += time.Duration(d.Stop.GraceSeconds) * time.Second
		}
	}
	if got := Grace(plan); got <= sum || got > sum+time.Minute {
		t.Errorf("%v for daemons that take %v", got, sum)
	}
	_, small := plantest.Of(t, "MASTER=false\nSLAVE=false\nSTART_CONSUL=false\n")
	if Grace(small) >= Grace(plan) {
		t.Error("fewer daemons take as long")
	}
}

// No secret may be in a file that everybody can read, however it was given.
func TestSecretsAreLeftOut(t *testing.T) {
	loaded, plan := plantest.Of(t, "", "CONSUL_HTTP_TOKEN=t0ken-of-consul", "CONSUL_PARAMS=-encrypt=k3y-of-gossip", "CLUSTER_NAME=seen")
	for name, text := range map[string]string{
		"compose": Compose(loaded, plan, Facts{}),
		"systemd": Systemd(loaded, plan, Facts{Self: "/usr/bin/panteras"}),
	} {
		if strings.Contains(text, "t0ken") || strings.Contains(text, "k3y") {
			t.Errorf("%s holds a secret:\n%s", name, text)
		}
		for _, piece := range []string{"CONSUL_HTTP_TOKEN", "CONSUL_PARAMS", "seen"} {
			if !strings.Contains(text, piece) {
				t.Errorf("%s lacks %s:\n%s", name, piece, text)
			}
		}
	}
}

func TestEnvironmentIsWhatStandsInNoFile(t *testing.T) {
	loaded, _ := plantest.Of(t, "CLUSTER_NAME=of-file\nGOMAXPROCS=2\n", "SLAVE=false", "HOSTNAME=shell", "MASTER=true", "PANTERAS_RESTART=no")
	list, secrets := environment(loaded)
	var names []string
	for _, v := range list {
		names = append(names, v.name+"="+v.value)
	}
	if got := strings.Join(names, " "); got != "MASTER=true SLAVE=false GOMAXPROCS=2" || secrets != nil {
		t.Errorf("%s, secrets %v", got, secrets)
	}
}
