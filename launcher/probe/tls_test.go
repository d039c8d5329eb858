package probe_test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"panteras/launcher"
	"panteras/launcher/probe"
)

// A daemon is believed over TLS by the authority that the probe names, and by no other.
func TestOverTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`"10.0.0.5:8300"`)) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of those who do not believe it
	server.StartTLS()
	t.Cleanup(server.Close)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		tls  *launcher.TLS
		says string // "" is ready
	}{
		{"the authority", &launcher.TLS{CAFile: authority}, ""},
		{"the authority, and a name of the certificate", &launcher.TLS{CAFile: authority, ServerName: "example.com"}, ""},
		{"another name", &launcher.TLS{CAFile: authority, ServerName: "server.dc1.consul"}, "not server.dc1.consul"},
		{"those of the system", nil, "unknown authority"},
		{"no matter which", &launcher.TLS{SkipVerify: true}, ""},
		{"a file that is not there", &launcher.TLS{CAFile: authority + ".old"}, authority + ".old"},
	} {
		err := probe.Check(t.Context(), launcher.Probe{Kind: launcher.ProbeHTTP, URL: server.URL, Expect: ":8300", TLS: c.tls})
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.what, err, c.says)
		}
	}
}
