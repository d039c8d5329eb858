package rights

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"panteras/configs"
	"panteras/internal/lab"
	"panteras/launcher"
	"panteras/launcher/plantest"

	"github.com/google/go-cmp/cmp"
)

// planOf plans a host by an environment.
func planOf(t *testing.T, environ ...string) (*configs.Settings, []launcher.Daemon) {
	t.Helper()
	loaded, plan := plantest.Of(t, "", environ...)
	return &loaded.Settings, plan.Daemons
}

func rulesOf(rights []Right) []string {
	var rules []string
	for _, r := range rights {
		rules = append(rules, r.Rule())
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

func TestWhatAHostNeeds(t *testing.T) {
	t.Parallel()
	const everything, nodes, limits = `service_prefix "" { policy = "read" }`, `node_prefix "" { policy = "read" }`, `key_prefix "haproxy/" { policy = "read" }`
	off := []string{"START_CONSUL=false", "CONSUL_HTTP_ADDR=10.0.0.1:8500", "CONSUL_DNS=10.0.0.1", "MASTER=false", "SLAVE=false"}
	for _, test := range []struct {
		what    string
		environ []string
		inKV    bool
		want    []string
	}{
		{"the DNS server alone", nil, true, []string{`service "panteras-dns" { policy = "write" }`}},
		{"that looks for HAProxies", []string{"DNS_MODE=lb"}, true, []string{nodes, `service "panteras-dns" { policy = "write" }`, everything}},
		{"HAProxy", []string{"EDGE=true", "START_DNS=false"}, true, []string{limits, nodes, `service "haproxy" { policy = "write" }`, everything}},
		{"a gateway", []string{"TUNNEL_ENDPOINT=10.0.0.5", "START_DNS=false"}, true, []string{`key_prefix "panteras/tunnel/" { policy = "write" }`, `service "panteras-gateway" { policy = "write" }`}},
		{"a gateway with a file", []string{"TUNNEL_ENDPOINT=10.0.0.5", "START_DNS=false"}, false, []string{`service "panteras-gateway" { policy = "write" }`}},
		{"Registrator", []string{"START_REGISTRATOR=true", "START_DNS=false"}, true, []string{`service_prefix "" { policy = "write" }`}},
	} {
		s, daemons := planOf(t, append(off, test.environ...)...)
		got := rulesOf(append(Registering(s, daemons), Working(s, daemons, test.inKV)...))
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.what, diff)
		}
	}
}

// What two daemons need is one right, which names both.
func TestARightNamesAllThatNeedIt(t *testing.T) {
	t.Parallel()
	s, daemons := planOf(t, "DNS_MODE=lb", "MASTER=false", "CONSUL_HOSTS=10.0.0.1")
	for _, r := range Working(s, daemons, true) {
		if r.Resource == "node" {
			if text := r.Lacks(); !strings.Contains(text, "lacks node:read on \"\"") || !strings.Contains(text, "consul-template") || !strings.Contains(text, "DNS_MODE=lb") {
				t.Errorf("%s", text)
			}
			return
		}
	}
	t.Error("nobody needs to read nodes")
}

// The page lists what a host with everything needs, and nothing else.
func TestThePageListsTheRights(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(lab.Root(t), "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	text, _, ok := strings.Cut(string(page), "\nThe token of Consul itself")
	if !ok {
		t.Fatal("the page has no token of Consul itself, before which the others are")
	}
	var listed []string
	for _, block := range regexp.MustCompile("(?s)```hcl acl\n(.*?)```").FindAllStringSubmatch(text, -1) {
		listed = append(listed, strings.Split(strings.TrimSpace(block[1]), "\n")...)
	}
	slices.Sort(listed)
	s, daemons := planOf(t, "DNS_MODE=lb", "TUNNEL_ENDPOINT=10.0.0.5", "KEEPALIVED_VIP=10.0.0.100")
	if diff := cmp.Diff(listed, rulesOf(append(Registering(s, daemons), Working(s, daemons, true)...))); diff != "" {
		t.Errorf("the page lists other rights than a host needs (-page +needed):\n%s", diff)
	}
}
