package register

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"panteras/configs"
	"panteras/internal/lab"

	"github.com/google/go-cmp/cmp"
	consul "github.com/hashicorp/consul/api"
)

// rig is a syncer for a real Consul, and what it logs.
type rig struct {
	*Syncer
	node *lab.ConsulNode
	logs *bytes.Buffer
}

func newRig(t *testing.T, node *lab.ConsulNode, change func(*configs.Settings)) rig {
	t.Helper()
	settings := &configs.Settings{ConsulHTTPAddr: node.HTTPAddr.String(), ConsulHTTPSSLVerify: true}
	if change != nil {
		change(settings)
	}
	logs := &bytes.Buffer{}
	return rig{New(settings, slog.New(slog.NewTextHandler(logs, nil))), node, logs}
}

// sync fails the test if something did not succeed.
func (r rig) sync(t *testing.T, want ...Service) {
	t.Helper()
	if err := r.Sync(t.Context(), want); err != nil {
		t.Fatal(err)
	}
}

// have lists the ids of the agent's services.
func (r rig) have(t *testing.T) []string {
	t.Helper()
	list, err := r.node.API.Agent().Services()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(list))
}

func (r rig) wantServices(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, r.have(t)); diff != "" {
		t.Errorf("services of the agent (-want +got):\n%s", diff)
	}
}

var (
	marathonUI = Service{Name: "marathon", Tags: []string{"haproxy"}, Address: "10.0.0.5", Port: 8080, CheckHTTP: "http://127.0.0.1:1/v2/leader"}
	haproxy    = Service{Name: "haproxy", Address: "10.0.0.5", Port: 80, CheckTCP: "127.0.0.1:1"}
	gateway    = Service{Name: "panteras-gateway", Address: "10.0.0.5", Port: 51820}
)

func TestSyncAgainstConsul(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.Consul(t, lab.ConsulOptions{}), nil)
	agent := r.node.API.Agent()
	if err := agent.ServiceRegister(&consul.AgentServiceRegistration{ID: "stranger", Name: "marathon", Port: 1}); err != nil {
		t.Fatal(err)
	}
	r.sync(t, marathonUI, haproxy, gateway)
	r.wantServices(t, "panteras:haproxy", "panteras:marathon", "panteras:panteras-gateway", "stranger")

	checks, err := agent.Checks()
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, c := range checks {
		types[c.ServiceID] = c.Type + " " + c.Name
	}
	if diff := cmp.Diff(map[string]string{
		"panteras:marathon": "http GET http://127.0.0.1:1/v2/leader",
		"panteras:haproxy":  "tcp TCP 127.0.0.1:1",
	}, types); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}

	// A second time nothing is done, so no check loses what it knows.
	before := r.indexOf(t, "marathon")
	logged := r.logs.Len()
	r.sync(t, marathonUI, haproxy, gateway)
	if r.logs.Len() != logged || r.indexOf(t, "marathon") != before {
		t.Errorf("a sync without a change did something: %s", r.logs.String()[logged:])
	}

	// Each kind of difference is mended: a check, which the agent does not tell, a port
	// that somebody changed, a service that is gone.
	checked := marathonUI
	checked.CheckHTTP = "http://127.0.0.1:2/v2/leader"
	changed := registration(haproxy)
	changed.Port = 81
	if err := agent.ServiceRegister(changed); err != nil {
		t.Fatal(err)
	}
	if err := agent.ServiceDeregister("panteras:panteras-gateway"); err != nil {
		t.Fatal(err)
	}
	r.sync(t, checked, haproxy, gateway)
	r.wantServices(t, "panteras:haproxy", "panteras:marathon", "panteras:panteras-gateway", "stranger")
	services, err := agent.Services()
	if err != nil {
		t.Fatal(err)
	}
	if got := services["panteras:haproxy"]; got.Port != 80 || got.Address != "10.0.0.5" || len(got.Tags) > 0 {
		t.Errorf("haproxy is %+v", got)
	}
	if got := services["panteras:marathon"]; !slices.Equal(got.Tags, []string{"haproxy"}) {
		t.Errorf("marathon is %+v", got)
	}
	checks, _ = agent.Checks()
	for _, c := range checks {
		if c.ServiceID == "panteras:marathon" && !strings.Contains(c.Name, "127.0.0.1:2") {
			t.Errorf("marathon is still checked by %s", c.Name)
		}
	}

	r.sync(t, gateway)
	r.wantServices(t, "panteras:panteras-gateway", "stranger")
	if err := r.DeregisterAll(t.Context()); err != nil {
		t.Error(err)
	}
	r.wantServices(t, "stranger")
}

// indexOf changes whenever the catalogue's entry of a service does.
func (r rig) indexOf(t *testing.T, service string) uint64 {
	t.Helper()
	var index uint64
	lab.Eventually(t, 30*time.Second, "the agent has told the servers of "+service, func() bool {
		list, _, err := r.node.API.Catalog().Service(service, "", nil)
		for _, s := range list {
			if s.ServiceID == prefix+service {
				index = s.ModifyIndex
			}
		}
		return err == nil && index > 0
	})
	return index
}

// An agent that lost its data forgets what was registered.
func TestSyncHealsAfterConsulForgot(t *testing.T) {
	t.Parallel()
	r := newRig(t, lab.Consul(t, lab.ConsulOptions{}), nil)
	r.sync(t, marathonUI, gateway)
	r.node.Kill()
	err := r.Sync(t.Context(), []Service{marathonUI, gateway})
	if err == nil || !strings.Contains(err.Error(), "cannot reach Consul at "+r.node.HTTPAddr.String()) {
		t.Errorf("with Consul gone: %v", err)
	}
	_ = r.Sync(t.Context(), []Service{marathonUI, gateway})
	if n := strings.Count(r.logs.String(), "level=WARN"); n != 1 {
		t.Errorf("one problem, seen twice, is logged %d times:\n%s", n, r.logs)
	}
	fresh := lab.Consul(t, lab.ConsulOptions{})
	r.settings.ConsulHTTPAddr, r.node = fresh.HTTPAddr.String(), fresh
	r.wantServices(t)
	r.sync(t, marathonUI, gateway)
	r.wantServices(t, "panteras:marathon", "panteras:panteras-gateway")
	if !strings.Contains(r.logs.String(), "again") {
		t.Errorf("that it is over is not logged:\n%s", r.logs)
	}
}

func TestDeregisterAllIsBounded(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{})
	r := newRig(t, node, nil)
	node.Kill()
	if err := r.DeregisterAll(t.Context()); err == nil {
		t.Error("it succeeds although Consul is gone")
	}

	// An agent that takes connections and says nothing, as one does that is stopped.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r.settings.ConsulHTTPAddr = l.Addr().String()
	started := time.Now()
	err = r.DeregisterAll(t.Context())
	if err == nil || !strings.Contains(err.Error(), "does not answer in time") {
		t.Errorf("a silent agent: %v", err)
	}
	if took := time.Since(started); took > DeregisterTimeout+30*time.Second {
		t.Errorf("it took %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	started = time.Now()
	if err := r.DeregisterAll(ctx); err == nil || time.Since(started) >= DeregisterTimeout {
		t.Errorf("called off, it took %v: %v", time.Since(started), err)
	}
}

const management = "11111111-2222-3333-4444-555555555555"

// token makes a token with a policy of the name and rules.
func token(t *testing.T, node *lab.ConsulNode, name, rules string) string {
	t.Helper()
	policy, _, err := node.API.ACL().PolicyCreate(&consul.ACLPolicy{Name: name, Rules: rules}, nil)
	if err != nil {
		t.Fatal(err)
	}
	made, _, err := node.API.ACL().TokenCreate(&consul.ACLToken{Policies: []*consul.ACLLink{{ID: policy.ID}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return made.SecretID
}

func TestACLs(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{ManagementToken: management})
	partly := token(t, node, "partly", `service "marathon" { policy = "write" }`)
	file := filepath.Join(t.TempDir(), "token")

	for _, test := range []struct {
		what   string
		change func(*configs.Settings)
		want   []string
	}{
		{"no token", func(*configs.Settings) {}, []string{"no token is set", "service:write", `service "haproxy" { policy = "write" }`}},
		{"unknown token", func(s *configs.Settings) { s.ConsulHTTPToken = "99999999-2222-3333-4444-555555555555" }, []string{"does not know the token", "CONSUL_HTTP_TOKEN"}},
		{"a right is missing", func(s *configs.Settings) { s.ConsulHTTPToken = partly }, []string{"cannot register haproxy", "lacks service:write", `service "haproxy" { policy = "write" }`}},
		{"no such file", func(s *configs.Settings) { s.ConsulHTTPTokenFile = file }, []string{"CONSUL_HTTP_TOKEN_FILE", file}},
	} {
		t.Run(test.what, func(t *testing.T) {
			r := newRig(t, node, test.change)
			err := r.Sync(t.Context(), []Service{haproxy, marathonUI})
			if err == nil {
				t.Fatal("it succeeds")
			}
			for _, piece := range test.want {
				if !strings.Contains(err.Error(), piece) {
					t.Errorf("%q lacks %q", err, piece)
				}
			}
			if strings.Contains(err.Error()+r.logs.String(), partly) || strings.Contains(err.Error()+r.logs.String(), "99999999") {
				t.Errorf("a token is in %q or\n%s", err, r.logs)
			}
		})
	}
	// What the token may do was done all the same.
	newRig(t, node, nil).wantServices(t, "panteras:marathon")

	// A token that comes later, in its file, is found without a restart.
	r := newRig(t, node, func(s *configs.Settings) { s.ConsulHTTPTokenFile = file })
	_ = r.Sync(t.Context(), []Service{haproxy})
	if err := os.WriteFile(file, []byte(token(t, node, "all", `service_prefix "" { policy = "write" }`)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.sync(t, haproxy, marathonUI)
	r.wantServices(t, "panteras:haproxy", "panteras:marathon")
	if err := r.DeregisterAll(t.Context()); err != nil {
		t.Error(err)
	}
	r.wantServices(t)
}
