package configs

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestGoodValuesOfDaemons is TestGoodValues for the settings of daemons.
func TestGoodValuesOfDaemons(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"MASTER", "no", "false"},
		{"CONSUL_HOSTS", "-join=192.168.2.81 -join=192.168.2.82  -retry-join=c3", "192.168.2.81 192.168.2.82 c3"},
		{"CONSUL_HOSTS", "-join 10.0.0.1 --retry-join 10.0.0.2:8301 10.0.0.3,10.0.0.4 10.0.0.1", "10.0.0.1 10.0.0.2:8301 10.0.0.3 10.0.0.4"},
		{"CONSUL_HOSTS", "'-retry-join=provider=aws tag_key=consul'", "'provider=aws tag_key=consul'"},
		{"CONSUL_WAN_HOSTS", "-retry-join-wan=10.2.0.1 10.3.0.1", "10.2.0.1 10.3.0.1"},
		{"CONSUL_MODE", " ", " "},
		{"CONSUL_MODE", "-server", "-server"},
		{"CONSUL_DC", "east_1", "east_1"},
		{"CONSUL_PARAMS", `-bootstrap-expect 3  -x="a b"'$c'\ d`, `-bootstrap-expect 3 '-x=a b$c d'`},
		{"MESOS_SLAVE_PARAMS", "--attributes=type:data --resources=ports(*):[31000-32000]", "--attributes=type:data '--resources=ports(*):[31000-32000]'"},
		{"MARATHON_APP_PARAMS", `'' "a\"b\\c\d"`, `'' 'a"b\c\d'`},
		{"ZOOKEEPER_HOSTS", "192.168.2.81:2181, zk2 ,[fd00::1]:2182", "192.168.2.81:2181,zk2:2181,[fd00::1]:2182"},
		{"ZOOKEEPER_ID", "255", "255"},
		{"KEEPALIVED_VIP", "50.0.0.101", "50.0.0.101"},
		{"STATE_DIR", "/srv/panteras/", "/srv/panteras"},
		{"STATUS_LISTEN", "[::1]:9000", "[::1]:9000"},
		{"CONSUL_USER", "consul-1", "consul-1"},
		{"HAPROXY_NOFILE", "1024", "1024"},
		{"MARATHON_JAVA_OPTS", "-Xmx1g -Da=b", "-Xmx1g -Da=b"},
	} {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			got := originOf(t, mustLoadEnv(t, test.name+"="+test.value), test.name)
			if got.Value != test.want {
				t.Errorf("got %q, want %q", got.Value, test.want)
			}
			if again := originOf(t, mustLoadEnv(t, test.name+"="+got.Value), test.name); again.Value != got.Value {
				t.Errorf("%q reads as %q", got.Value, again.Value)
			}
		})
	}
}

func TestBadValuesOfDaemons(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"SLAVE", "on", "true, false"},
		{"CONSUL_HOSTS", "-bootstrap-expect=3", "put other flags into CONSUL_PARAMS"},
		{"CONSUL_HOSTS", "10.0.0.1 -join", `ends with "-join" and no host after it`},
		{"CONSUL_HOSTS", "0.0.0.0", "neither an address nor a name"},
		{"CONSUL_HOSTS", ",", "must list hosts"},
		{"CONSUL_HOSTS", "'a", "close every quote"},
		{"CONSUL_MODE", "-dev", "must be -server, or a single blank"},
		{"CONSUL_DC", "dc.1", "letters, digits"},
		{"CONSUL_PARAMS", `"a`, "close every quote"},
		{"CONSUL_PARAMS", `a\`, "end with a backslash"},
		{"ZOOKEEPER_HOSTS", "zk1,zk1:2181", "lists zk1:2181 twice"},
		{"ZOOKEEPER_HOSTS", "zk1:0", "1 to 65535"},
		{"ZOOKEEPER_HOSTS", "0.0.0.0:2181", "not the address of one host"},
		{"ZOOKEEPER_HOSTS", ",", "must list 1 to 255"},
		{"ZOOKEEPER_ID", "256", "0 to 255"},
		{"MESOS_MASTER_QUORUM", "0", "1 to 255"},
		{"KEEPALIVED_VIP", "vip", "must be an IP address"},
		{"RUN_DIR", "run", "full path"},
		{"RUN_DIR", "/", "of its own"},
		{"STATUS_LISTEN", "localhost:9000", "must be addr:port"},
		{"STATUS_LISTEN", "127.0.0.1:0", "must be addr:port"},
		{"CONSUL_USER", "a b", "name of a user"},
		{"CONSUL_NOFILE", "1", "64 to 1048576"},
		{"CLUSTER_NAME", "a\x01b", "one line"},
	} {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			_, err := loadEnv(t, test.name+"="+test.value)
			wantError(t, err, "environment: "+test.name+"="+quote(test.value)+" ", test.want)
		})
	}
}

func TestStartFollowsTheRole(t *testing.T) {
	for _, test := range []struct{ environ, setting, want string }{
		{"MASTER=false", "START_MARATHON", "false"},
		{"MASTER=false", "CONSUL_MODE", " "},
		{"SLAVE=false", "EDGE", "false"},
		{"SLAVE=false", "START_CONSUL_TEMPLATE", "false"},
		{"SLAVE=false", "START_REGISTRATOR", "false"},
		{"SLAVE=false EDGE=true", "START_CONSUL_TEMPLATE", "true"},
		{"MASTER=false START_CHRONOS=true", "START_CHRONOS", "true"},
		{"TUNNEL_ENDPOINT=vpn.example.com", "START_TUNNEL", "true"},
		{"ZOOKEEPER_HOSTS=a,b,c,d", "MESOS_MASTER_QUORUM", "3"},
		{"HOSTNAME=10.0.0.5", "ZOOKEEPER_HOSTS", "10.0.0.5:2181"},
	} {
		if got := originOf(t, mustLoadEnv(t, strings.Fields(test.environ)...), test.setting).Value; got != test.want {
			t.Errorf("with %s %s is %q, want %q", test.environ, test.setting, got, test.want)
		}
	}
}

func TestWarningsOfDaemons(t *testing.T) {
	for environ, want := range map[string]string{
		"CONSUL_DC=UNKNOWN":    `environment: CONSUL_DC="UNKNOWN" is unknown to Consul, which knows no capitals; write CONSUL_DC=unknown`,
		"DNSMASQ_PARAMS=--foo": "DNSMASQ_PARAMS has no effect",
	} {
		loaded := mustLoadEnv(t, environ)
		if w := loaded.Warnings(); len(w) != 1 || !strings.Contains(w[0], want) {
			t.Errorf("%s: warnings %q, want one with %q", environ, w, want)
		}
	}
}

func TestSecretArgumentsAreMasked(t *testing.T) {
	const secret = "5Hsg7/0+aZ=="
	for _, value := range []string{
		"-encrypt=" + secret, "-encrypt " + secret, "--encrypt='" + secret + "'", "-ui --mesos_authentication_secret=" + secret,
		`"-encrypt=` + secret + `"`, "-Djavax.net.ssl.keyStorePassword=" + secret,
	} {
		got := originOf(t, mustLoadEnv(t, "CONSUL_PARAMS="+value), "CONSUL_PARAMS")
		if shown := got.Shown(); strings.Contains(shown, "5Hsg7") || !strings.Contains(shown, Masked) {
			t.Errorf("%s is shown as %q", value, shown)
		}
		_, err := loadEnv(t, "CONSUL_PARAMS="+value+` "unclosed`)
		if err == nil || strings.Contains(err.Error(), "5Hsg7") {
			t.Errorf("%s: the error is %v", value, err)
		}
		given, err := splitWords(value)
		if err != nil || strings.Contains(strings.Join(MaskWords(given), " "), "5Hsg7") {
			t.Errorf("%s: %q, %v", value, MaskWords(given), err)
		}
	}
	plainly := []string{"--mesos_authentication_secret_file=/x", "-encrypt-verify-incoming=true", "-ui", "-token-file", "x"}
	if got := MaskWords(plainly); !slices.Equal(got, plainly) {
		t.Errorf("what is no secret is shown as %q", got)
	}
}

func TestOnlyTheGroupsThatWereAskedForHaveFlags(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	RegisterFlags(flags, GroupCommon)
	for name, want := range map[string]bool{"ip": true, "consul-domain": true, "tunnel-cidr": true, "master": false, "marathon-params": false} {
		if got := flags.Lookup(name) != nil; got != want {
			t.Errorf("--%s is registered: %v, want %v", name, got, want)
		}
	}
}
