package consulclient

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"panteras/configs"

	"github.com/google/go-cmp/cmp"
	consul "github.com/hashicorp/consul/api"
)

// likeConsul answers questions about what a token may do: nothing with the number "no".
func likeConsul(t *testing.T) configs.Settings {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked []Access
		switch err := json.NewDecoder(r.Body).Decode(&asked); {
		case r.Method != http.MethodPost || r.URL.Path != authorizePath || err != nil:
			http.NotFound(w, r)
		case r.Header.Get("X-Consul-Token") != "secret":
			http.Error(w, "ACL not found", http.StatusForbidden)
		case len(asked) > 64:
			http.Error(w, "Refusing to process more than 64 authorizations at once", http.StatusBadRequest)
		default:
			type answer struct {
				Access
				Allow bool
			}
			var answers []answer
			for _, a := range asked {
				answers = append(answers, answer{a, !strings.HasPrefix(a.Segment, "no")})
			}
			_ = json.NewEncoder(w).Encode(answers)
		}
	}))
	t.Cleanup(server.Close)
	return configs.Settings{ConsulHTTPAddr: server.URL, ConsulHTTPToken: "secret"}
}

func TestDenied(t *testing.T) {
	t.Parallel()
	s := likeConsul(t)
	var all, want []Access
	for i := range 150 {
		a := Access{"service", "yes-" + strconv.Itoa(i), "write"}
		if i%50 == 7 {
			a.Segment = "no-" + strconv.Itoa(i)
			want = append(want, a)
		}
		all = append(all, a)
	}
	got, err := Denied(t.Context(), &s, all)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v, denied (-want +got):\n%s", err, diff)
	}
	s.ConsulHTTPToken = "another"
	if _, err := Denied(t.Context(), &s, all); err == nil || !strings.Contains(err.Error(), "does not know the token") || strings.Contains(err.Error(), "another") {
		t.Errorf("an unknown token: %v", err)
	}
}

func TestDeniedWithoutACLs(t *testing.T) {
	t.Parallel()
	address, _ := fake(t, http.StatusUnauthorized, "ACL support disabled")
	if got, err := Denied(t.Context(), &configs.Settings{ConsulHTTPAddr: address}, []Access{{"node", "", "read"}}); err != nil || got != nil {
		t.Errorf("without ACLs: %v, %v", got, err)
	}
	for policy, asks := range map[string]int{"allow": 0, "deny": 1, "": 1} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Consul-Default-ACL-Policy", policy)
			if r.Method == http.MethodPost { // which such a Consul logs as an error
				asked++
				http.Error(w, "ACL support disabled", http.StatusUnauthorized)
			}
		}))
		got, err := Denied(t.Context(), &configs.Settings{ConsulHTTPAddr: server.URL}, []Access{{"node", "", "read"}})
		server.Close()
		if err != nil || got != nil || asked != asks {
			t.Errorf("where the policy is %q: %v, %v, asked %d times", policy, got, err, asked)
		}
	}
	address, _ = fake(t, http.StatusOK, "[]")
	if _, err := Denied(t.Context(), &configs.Settings{ConsulHTTPAddr: address}, []Access{{"node", "", "read"}}); err == nil || !strings.Contains(err.Error(), "0 of 1") {
		t.Errorf("an answer that lacks something: %v", err)
	}
}

func TestHidden(t *testing.T) {
	t.Parallel()
	if err := Hidden(&consul.QueryMeta{}, "key:read", "x/"); err != nil {
		t.Error(err)
	}
	err := Hidden(&consul.QueryMeta{ResultsFilteredByACLs: true}, "key:read", "x/")
	if text := Explain(err, "c:8500").Error(); !strings.Contains(text, `lacks key:read; add to its policy: key "x/" { policy = "read" }`) {
		t.Error(text)
	}
}
