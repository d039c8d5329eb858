package probe_test

import (
	"crypto/tls"
	"crypto/x509"
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
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600); err != nil {
		t.Fatal(err)
	}
	strict := httptest.NewUnstartedServer(server.Config.Handler)
	strict.Config.ErrorLog = server.Config.ErrorLog
	strict.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	strict.StartTLS()
	t.Cleanup(strict.Close)
	for _, c := range []struct {
		what string
		url  string
		tls  *launcher.TLS
		says string // "" is ready
	}{
		{"the authority", server.URL, &launcher.TLS{CAFile: authority}, ""},
		{"the authority, and a name of the certificate", server.URL, &launcher.TLS{CAFile: authority, ServerName: "example.com"}, ""},
		{"another name", server.URL, &launcher.TLS{CAFile: authority, ServerName: "server.dc1.consul"}, "not server.dc1.consul"},
		{"those of the system", server.URL, nil, "unknown authority"},
		{"no matter which", server.URL, &launcher.TLS{SkipVerify: true}, ""},
		{"a certificate of who asks", strict.URL, &launcher.TLS{CAFile: authority, CertFile: authority, KeyFile: keyFile}, ""},
		{"none of who asks", strict.URL, &launcher.TLS{CAFile: authority}, "certificate required"},
		{"a file that is not there", server.URL, &launcher.TLS{CAFile: authority + ".old"}, authority + ".old"},
	} {
		err := probe.Check(t.Context(), launcher.Probe{Kind: launcher.ProbeHTTP, URL: c.url, Expect: ":8300", TLS: c.tls})
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.what, err, c.says)
		}
	}
}
