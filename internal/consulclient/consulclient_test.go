package consulclient

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"panteras/configs"
	"panteras/internal/lab"

	consul "github.com/hashicorp/consul/api"
)

// authority is a certificate authority for one test, with files as Consul takes them.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, newKey(t)
	a.write("ca", a.cert, a.key)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes name.pem and name.key for a server and client of that DNS name.
func (a *authority) issue(name string) {
	a.t.Helper()
	a.write(name, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, newKey(a.t))
}

func (a *authority) write(name string, cert *x509.Certificate, key *ecdsa.PrivateKey) {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		a.path(name + ".pem"): {Type: "CERTIFICATE", Bytes: der},
		a.path(name + ".key"): {Type: "EC PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// leader asks with the client that the settings make.
func leader(t *testing.T, s configs.Settings) (string, error) {
	t.Helper()
	client, err := New(&s)
	if err != nil {
		return "", err
	}
	return client.Status().Leader()
}

// A Consul that takes nothing but TLS with certificates of its authority on both sides.
func TestTLSToConsul(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.issue("server.dc1.consul")
	a.issue("panteras")
	port := lab.Port(t)
	lab.Consul(t, lab.ConsulOptions{Extra: map[string]any{
		"ports": map[string]any{"https": port},
		"tls": map[string]any{"https": map[string]any{
			"verify_incoming": true, "ca_file": a.path("ca.pem"), "cert_file": a.path("server.dc1.consul.pem"), "key_file": a.path("server.dc1.consul.key"),
		}},
	}})
	address := net.JoinHostPort("127.0.0.1", portText(port))
	good := configs.Settings{
		ConsulHTTPAddr: address, ConsulHTTPSSL: true, ConsulHTTPSSLVerify: true, ConsulCACert: a.path("ca.pem"),
		ConsulClientCert: a.path("panteras.pem"), ConsulClientKey: a.path("panteras.key"), ConsulTLSServerName: "server.dc1.consul",
	}
	for _, test := range []struct {
		what   string
		change func(*configs.Settings)
		want   string // a piece of the error, "" for none
	}{
		{"all is well", func(*configs.Settings) {}, ""},
		{"by its scheme", func(s *configs.Settings) { s.ConsulHTTPAddr, s.ConsulHTTPSSL = "https://"+address, false }, ""},
		{"authorities in a folder", func(s *configs.Settings) { s.ConsulCACert, s.ConsulCAPath = "", folderWith(t, a.path("ca.pem")) }, ""},
		{"nothing is checked", func(s *configs.Settings) {
			s.ConsulHTTPSSLVerify, s.ConsulCACert, s.ConsulTLSServerName = false, "", ""
		}, ""},
		{"another name", func(s *configs.Settings) { s.ConsulTLSServerName = "server.dc2.consul" }, "server.dc2.consul"},
		{"unknown authority", func(s *configs.Settings) { s.ConsulCACert = "" }, "unknown authority"},
		{"no certificate of ours", func(s *configs.Settings) { s.ConsulClientCert, s.ConsulClientKey = "", "" }, "certificate required"},
		{"no key", func(s *configs.Settings) { s.ConsulClientKey = "" }, "CONSUL_CLIENT_KEY"},
		{"no such file", func(s *configs.Settings) { s.ConsulCACert = a.path("nothing") }, "CONSUL_CACERT"},
		{"no address", func(s *configs.Settings) { s.ConsulHTTPAddr = "" }, "CONSUL_HTTP_ADDR"},
	} {
		t.Run(test.what, func(t *testing.T) {
			s := good
			test.change(&s)
			answer, err := leader(t, s)
			switch {
			case test.want == "" && (err != nil || answer == ""):
				t.Errorf("leader %q, error %v", answer, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v, want an error with %q", err, test.want)
			}
		})
	}
}

func portText(port uint16) string { return big.NewInt(int64(port)).String() }

// folderWith makes a folder that holds a copy of the file and nothing else.
func folderWith(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// fake serves one answer, and keeps what it was asked with.
func fake(t *testing.T, code int, body string) (address string, asked *http.Header) {
	t.Helper()
	asked = &http.Header{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = r.Header.Clone()
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), asked
}

func TestTokenAndProxy(t *testing.T) {
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("of-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ token, file, want string }{{"", "", ""}, {"of-setting", "", "of-setting"}, {"of-setting", file, "of-file"}} {
		address, asked := fake(t, http.StatusOK, `"10.0.0.1:8300"`)
		if _, err := leader(t, configs.Settings{ConsulHTTPAddr: address, ConsulHTTPToken: test.token, ConsulHTTPTokenFile: test.file}); err != nil {
			t.Error(err)
		}
		if got := asked.Get("X-Consul-Token"); got != test.want {
			t.Errorf("asked with the token %q, want %q", got, test.want)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "consul.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`"there"`)) })}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	if got, err := leader(t, configs.Settings{ConsulHTTPAddr: "unix://" + path, ConsulHTTPSSL: true}); err != nil || got != "there" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestExplain(t *testing.T) {
	refusal := func(body string) error { return consul.StatusError{Code: http.StatusForbidden, Body: body} }
	for _, test := range []struct {
		err  error
		want string
	}{
		{refusal(`Permission denied: token with AccessorID 'x' lacks permission 'service:write' on "web"`), `lacks service:write; add to its policy: service "web" { policy = "write" }`},
		{refusal(`Permission denied: token with AccessorID '00000000-0000-0000-0000-000000000002' lacks permission 'key:read' on "haproxy/"`), `no token is set, and the anonymous one lacks key:read`},
		{refusal(`Permission denied: anonymous token lacks permission 'operator:read'. The anonymous token`), `add to its policy: operator = "read"`},
		{refusal("Permission denied"), "refuses what the token of CONSUL_HTTP_TOKEN"},
		{refusal("ACL not found"), "does not know the token"},
		{consul.StatusError{Code: 500, Body: "No cluster\nleader"}, "Consul at c:8500 answers 500: No cluster leader"},
		{context.DeadlineExceeded, "does not answer in time"},
		{errors.New("refused"), "cannot reach Consul at c:8500: refused"},
	} {
		if got := Explain(test.err, "c:8500").Error(); !strings.Contains(got, test.want) {
			t.Errorf("%v:\n%q lacks %q", test.err, got, test.want)
		}
	}
}
