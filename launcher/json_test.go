package launcher

import (
	"bytes"
	"encoding/json"
	"testing"

	"panteras/configs"
)

// TestJSONContract reads a plan as a program would that knows its fields, and no others.
func TestJSONContract(t *testing.T) {
	p := planEnv(t, "MESOS_MASTER_QUORUM=7", "CONSUL_DC=DC", "KEEPALIVED_VIP=10.0.0.9",
		"CONSUL_HTTP_ADDR=https://10.0.0.5:8501", "CONSUL_CACERT=/tls/ca.pem", "CONSUL_CAPATH=/tls/ca", "CONSUL_CLIENT_CERT=/tls/c.pem", "CONSUL_CLIENT_KEY=/tls/c.key",
		"CONSUL_TLS_SERVER_NAME=server.dc1.consul", "CONSUL_HTTP_SSL_VERIFY=false")
	encoded, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Settings map[string]string `json:"settings"`
		Findings []struct {
			Level, Setting, Message string
		} `json:"findings"`
		Daemons []struct {
			Name, Because, User string
			Run                 bool
			Argv                []string
			Env                 map[string]string
			Files               []struct {
				Path, Mode, Content string
				Keep                bool
			}
			Probe struct {
				Kind, URL, Expect, Address string
				TLS                        *struct {
					CAFile     string `json:"ca_file"`
					CAPath     string `json:"ca_path"`
					CertFile   string `json:"cert_file"`
					KeyFile    string `json:"key_file"`
					ServerName string `json:"server_name"`
					SkipVerify bool   `json:"skip_verify"`
				}
			}
			After []string
			Stop  struct {
				Signal       string
				GraceSeconds int `json:"grace_seconds"`
			}
		} `json:"daemons"`
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatalf("%v in %s", err, encoded)
	}
	if len(got.Settings) != len(configs.All()) || got.Settings["CONSUL_DC"] != "dc" {
		t.Errorf("%d settings, CONSUL_DC %q", len(got.Settings), got.Settings["CONSUL_DC"])
	}
	if len(got.Findings) != 2 || got.Findings[0].Level != "error" || got.Findings[0].Setting != "MESOS_MASTER_QUORUM" || got.Findings[1].Level != "warning" {
		t.Errorf("findings %+v", got.Findings)
	}
	if len(got.Daemons) != len(order) {
		t.Fatalf("%d daemons", len(got.Daemons))
	}
	for i, d := range got.Daemons {
		if d.Name != order[i] || d.Because == "" || d.User == "" || len(d.Argv) == 0 || d.Env["PATH"] == "" || d.Probe.Kind == "" || d.Stop.Signal == "" || d.Stop.GraceSeconds == 0 {
			t.Errorf("daemon %d lacks something: %+v", i, d)
		}
		if over := d.Probe.TLS; (over != nil) != (d.Name == "consul") {
			t.Errorf("%s is asked over TLS as %+v says", d.Name, over)
		} else if over != nil && (over.CAFile != "/tls/ca.pem" || over.CAPath != "/tls/ca" || over.CertFile != "/tls/c.pem" || over.KeyFile != "/tls/c.key" ||
			over.ServerName != "server.dc1.consul" || !over.SkipVerify) {
			t.Errorf("%s is asked over TLS by %+v", d.Name, *over)
		}
		for _, f := range d.Files {
			if f.Path == "" || f.Mode == "" {
				t.Errorf("%s has the file %+v", d.Name, f)
			}
		}
	}
	// Lists are lists even when they are empty.
	if empty := []byte(`:null`); bytes.Contains(encoded, empty) {
		t.Errorf("null in %s", encoded)
	}
}
