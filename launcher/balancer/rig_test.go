package balancer

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"panteras/configs/haproxy"
	"panteras/internal/lab"
)

const patience = 20 * time.Second

// rig is a host with HAProxy, on free ports.
type rig struct {
	*Balancer
	t       testing.TB
	haproxy *lab.Process
	reloads atomic.Int32
}

// newRig makes a host whose HAProxy does not run yet.
func newRig(t testing.TB) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "panteras-balancer") // paths of sockets must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	run := filepath.Join(dir, "run")
	r := &rig{t: t}
	master := filepath.Join(run, "master.sock")
	r.Balancer = &Balancer{
		Options: haproxy.Options{
			Listen: netip.MustParseAddr("127.0.0.1"), HTTPPort: lab.Port(t), StatsPort: lab.Port(t),
			Domain: "consul", AddDomain: "my.own.domain.com", Hosts: []string{"localhost", "127.0.0.1", "[::1]", "node1"},
			Links: []haproxy.Link{{Name: "Consul", Port: 8500}}, Socket: filepath.Join(run, "admin.sock"),
		},
		StateDir: filepath.Join(dir, "state"), RunDir: run, Master: master,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	r.Reloader = ReloadFunc(func(ctx ctxType) error {
		r.reloads.Add(1)
		return MasterSocket(master).Reload(ctx)
	})
	return r
}

// startHAProxy runs HAProxy with the files that are in place.
func (r *rig) startHAProxy() {
	r.t.Helper()
	if err := os.MkdirAll(r.RunDir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	r.haproxy = lab.HAProxy(r.t, filepath.Join(r.StateDir, haproxy.ConfigFile), r.Master)
	lab.Eventually(r.t, patience, "HAProxy runs", func() bool { return r.running() != "" })
}

// startedRig is a host that serves instances.
func startedRig(t testing.TB, instances ...*haproxy.Instance) *rig {
	t.Helper()
	r := newRig(t)
	r.apply(instances...)
	r.startHAProxy()
	return r
}

func snapshotOf(instances ...*haproxy.Instance) haproxy.Snapshot {
	return haproxy.Snapshot{Datacenters: []string{"dc1", "dc2"}, Instances: append([]*haproxy.Instance{}, instances...)}
}

// apply applies a snapshot with these instances, which must succeed.
func (r *rig) apply(instances ...*haproxy.Instance) *Result {
	r.t.Helper()
	return r.applySnapshot(snapshotOf(instances...))
}

func (r *rig) applySnapshot(s haproxy.Snapshot) *Result {
	r.t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		r.t.Fatal(err)
	}
	result, err := r.Apply(r.t.Context(), text)
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}

// url is an address of HAProxy's.
func (r *rig) url(path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d%s", r.Options.HTTPPort, path)
}

// get asks HAProxy for a host and path, on a connection of its own.
func (r *rig) get(host, path string) (code int, body string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url(path), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Host = host
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// web starts a web server that answers with its name, and returns its instance.
func web(t testing.TB, service, id string, tags ...string) *haproxy.Instance {
	t.Helper()
	return serve(t, service, id, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, id)
	}), tags...)
}

func serve(t testing.TB, service, id string, handler http.Handler, tags ...string) *haproxy.Instance {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	host, text, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return &haproxy.Instance{Service: service, ID: id, Node: "node-" + id, Address: host, Port: port, Tags: tags}
}

// with is the instance with other tags.
func with(i *haproxy.Instance, tags ...string) *haproxy.Instance {
	changed := *i
	changed.Tags = tags
	return &changed
}

// servicePort is a free port that services may have.
func servicePort(t testing.TB) uint16 {
	t.Helper()
	for {
		if port := lab.Port(t); port < 31000 {
			return port
		}
	}
}
