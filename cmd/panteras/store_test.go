package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"panteras/configs"
	"panteras/internal/consulclient"
	"panteras/tunnel"
	"panteras/tunnel/store"
)

// reloading is a gateway that takes settings, or does not.
type reloading struct{ err error }

func (r reloading) Reload(*configs.Settings) error { return r.err }

// A reload takes over where Consul is and by which token it is asked, unless the gateway
// keeps the settings that it has.
func TestReloadTakesAnotherConsulAndToken(t *testing.T) {
	const ula = "fd00:1::/64"
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Consul-Token") != "second" {
			http.Error(w, "Permission denied", http.StatusForbidden)
			return
		}
		w.Header().Set("X-Consul-Index", "1")
		if !strings.Contains(r.URL.Path, "panteras/tunnel/cluster") {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `[{"Key":"panteras/tunnel/cluster","ModifyIndex":1,"Value":"eyJ1bGEiOiJmZDAwOjE6Oi82NCJ9"}]`) // {"ula":"fd00:1::/64"}
	}))
	t.Cleanup(agent.Close)
	dir := t.TempDir()
	folder := tunnel.NewFolder(dir)
	if _, err := store.Choose(folder, store.InConsul, true); err != nil {
		t.Fatal(err)
	}
	token := dir + "/token"
	settings := func(address, secret string) *configs.Settings {
		t.Helper()
		if err := os.WriteFile(token, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		s := &configs.Settings{}
		s.ConsulHTTPAddr, s.ConsulHTTPTokenFile = address, token
		return s
	}
	first := settings("127.0.0.1:1", "first")
	client, err := consulclient.New(first)
	if err != nil {
		t.Fatal(err)
	}
	peers := store.NewConsul(client, first.ConsulHTTPAddr)
	address := strings.TrimPrefix(agent.URL, "http://")
	refused := errors.New("refused")
	for _, c := range []struct {
		address, token string
		err            error
		reads          bool
	}{
		{address, "second", refused, false},
		{address, "first", nil, false},
		{address, "second", nil, true},
		{address, "first", refused, true},
		{"127.0.0.1:1", "second", nil, false},
	} {
		if err := (followingGateway{reloading{c.err}, peers, folder}).Reload(settings(c.address, c.token)); !errors.Is(err, c.err) {
			t.Errorf("%+v: %v", c, err)
		}
		snap, err := peers.Read(t.Context())
		if reads := err == nil && snap.Cluster.ULA.String() == ula; reads != c.reads {
			t.Errorf("%+v: the store is read: %v, %v", c, reads, err)
		}
	}
}
