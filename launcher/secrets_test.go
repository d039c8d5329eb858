package launcher

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSecretsReachTheirDaemonsAndNothingElse(t *testing.T) {
	const token, key, password = "it's-t0ken", "5Hsg7/0+aZ==", "mailpw77"
	p := planEnv(t, "CONSUL_HTTP_TOKEN="+token, "CONSUL_PARAMS=-encrypt "+key+" -ui", "CHRONOS_PARAMS=--mail_password "+password, "CLUSTER_NAME="+token)
	var text strings.Builder
	if err := p.WriteText(&text, true); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range p.Findings {
		text.WriteString(f.Message)
	}
	for _, secret := range []string{token, `it'\''s-t0ken`, "t0ken", key, "5Hsg7", password} {
		if strings.Contains(text.String()+string(encoded), secret) {
			t.Errorf("%s is in the output", secret)
		}
	}

	// The daemons themselves need them.
	for _, name := range []string{"consul-template", "registrator"} {
		if got := daemonOf(t, p, name).Env["CONSUL_HTTP_TOKEN"]; got != token {
			t.Errorf("%s gets the token %q", name, got)
		}
	}
	consul := daemonOf(t, p, "consul")
	if got := fileOf(t, consul, "encrypt.json"); got != `{"encrypt":"`+key+`"}`+"\n" {
		t.Errorf("encrypt.json holds %s", got)
	}
	if argv := strings.Join(consul.Argv, " "); strings.Contains(argv, "-encrypt") || !strings.HasSuffix(argv, "-config-file=/run/panteras/consul/encrypt.json -ui") {
		t.Errorf("Consul's arguments are %s", argv)
	}
	if got := fileOf(t, daemonOf(t, p, "dns"), "host"); !strings.Contains(got, `CONSUL_HTTP_TOKEN='it'\''s-t0ken'`) {
		t.Errorf("the DNS server's settings are\n%s", got)
	}
	for _, d := range p.Daemons {
		if strings.Contains(strings.Join(d.Argv, " "), key) || d.Name != "mesos-master" && strings.Contains(strings.Join(d.Argv, " "), "t0ken") {
			t.Errorf("a secret is among the arguments of %s: %q", d.Name, d.Argv)
		}
		for _, f := range d.Files {
			if f.Mode != "0600" {
				t.Errorf("%s has the mode %s", f.Path, f.Mode)
			}
		}
	}
}

func TestASecretThatWasCopiedIsHiddenToo(t *testing.T) {
	const token = "t0ken-of-consul"
	p := planEnv(t, "CONSUL_HTTP_TOKEN="+token, "TUNNEL_ENDPOINT="+token, "MARATHON_USER="+token)
	encoded, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := p.WriteText(&text, true); err != nil {
		t.Fatal(err)
	}
	for _, f := range p.Findings {
		text.WriteString(f.Message)
	}
	if strings.Contains(text.String(), token) || strings.Count(string(encoded), token) > 0 {
		t.Errorf("the token is in\n%s\n%s", text.String(), encoded)
	}
}

func TestATokenFileBeatsTheToken(t *testing.T) {
	p := planEnv(t, "CONSUL_HTTP_TOKEN=t0ken-of-consul", "CONSUL_HTTP_TOKEN_FILE=/etc/consul.token")
	d := daemonOf(t, p, "consul-template")
	if _, ok := d.Env["CONSUL_HTTP_TOKEN"]; ok || !strings.Contains(strings.Join(d.Argv, " "), "-consul-token-file=/etc/consul.token") {
		t.Errorf("environment %v, arguments %q", d.Env, d.Argv)
	}
}

func TestEnvironmentIsAllowListed(t *testing.T) {
	allowed := map[string]bool{"HOME": true, "LANG": true, "PATH": true, "JAVA_OPTS": true, "DOCKER_HOST": true, "CONSUL_HTTP_TOKEN": true}
	p := planEnv(t, "MESOS_MASTER_QUORUM=1", "MARATHON_PARAMS=--ha", "CONSUL_HTTP_TOKEN=t0ken-of-consul", "EDITOR=vi")
	for _, d := range p.Daemons {
		for name := range d.Env {
			if !allowed[name] {
				t.Errorf("%s gets %s", d.Name, name)
			}
		}
	}
}
