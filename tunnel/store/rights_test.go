package store

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"panteras/internal/lab"
	"panteras/tunnel"

	consul "github.com/hashicorp/consul/api"
)

// Consul leaves out what a token may not read, which is no empty store; and refuses writes.
func TestATokenWithoutRights(t *testing.T) {
	t.Parallel()
	const management, other = "9a1b2c3d-0000-4000-8000-000000000001", "9a1b2c3d-0000-4000-8000-000000000002"
	node := lab.Consul(t, lab.ConsulOptions{Extra: map[string]any{"acl": map[string]any{
		"enabled": true, "default_policy": "deny", "tokens": map[string]any{"initial_management": management, "agent": management, "default": management},
	}}})
	address := node.HTTPAddr.String()
	with := func(token string) *consul.Client {
		config := consul.DefaultNonPooledConfig()
		config.Address, config.Token = address, token
		client, err := consul.NewClient(config)
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	as := func(token string) *Store { return NewConsul(with(token), address) }
	all := as(management)
	if _, err := all.Join(t.Context(), tunnel.NewCluster()); err != nil {
		t.Fatal(err)
	}
	admin, err := consul.NewClient(&consul.Config{Address: node.HTTPAddr.String(), Token: management, HttpClient: http.DefaultClient})
	if err != nil {
		t.Fatal(err)
	}
	var token *consul.ACLToken
	policy, _, err := admin.ACL().PolicyCreate(&consul.ACLPolicy{Name: "other", Rules: `key "another" { policy = "read" }`}, nil)
	if err == nil {
		token, _, err = admin.ACL().TokenCreate(&consul.ACLToken{SecretID: other, Policies: []*consul.ACLTokenPolicyLink{{ID: policy.ID}}}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	const advice = `key_prefix "panteras/tunnel/" { policy = "write" }`
	s := as(other)
	if snapshot, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "lacks key:read") || !strings.Contains(err.Error(), advice) {
		t.Errorf("read: %+v, %v", snapshot, err)
	}
	f := follow(t, s)
	lab.Eventually(t, patience, "a word about the right", func() bool { return f.said("lacks key:read") && f.said(advice) })

	if _, _, err := admin.ACL().PolicyUpdate(&consul.ACLPolicy{ID: policy.ID, Name: "other", Rules: `key_prefix "panteras/tunnel/" { policy = "read" }`}, nil); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "to be let read", func() bool { _, err := s.Read(t.Context()); return err == nil })
	if _, err := s.Join(t.Context(), tunnel.NewCluster()); err != nil {
		t.Errorf("a cluster that is there already needs no right to write: %v", err)
	}
	if ok, err := s.kv.apply(t.Context(), []op{{key: "peers/x", value: []byte("{}")}}); ok || err == nil || !strings.Contains(err.Error(), "lacks key:write") || !strings.Contains(err.Error(), advice) {
		t.Errorf("write: %v, %v", ok, err)
	}

	// Another token, while a question is on its way, and the old one is no more.
	lab.Eventually(t, patience, "the cluster", func() bool { return f.cluster().ULA.IsValid() })
	s.UseClient(with(management), address)
	if _, err := admin.ACL().TokenDelete(token.AccessorID, nil); err != nil {
		t.Fatal(err)
	}
	// The question that was on its way may still be answered; the next one would not.
	for _, name := range []string{"alice", "bob"} {
		mustAdd(t, all, name, both...)
		lab.Eventually(t, watchWait/2, "a peer that was added after the token was replaced", func() bool { return strings.HasSuffix(f.names(), name) })
	}
	if f.said("does not know the token") {
		t.Error("Consul was asked by the old token though there was another")
	}

	// An agent that never answers is not waited for when there is another one.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	hung, err := consul.NewClient(&consul.Config{Address: silent.Addr().String(), HttpClient: &http.Client{}})
	if err != nil {
		t.Fatal(err)
	}
	s = NewConsul(hung, silent.Addr().String())
	f = follow(t, s)
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s.UseClient(with(management), address)
	lab.Eventually(t, watchWait/2, "the peers by another agent", func() bool { return f.names() == "alice bob" })
}
