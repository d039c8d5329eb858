package gateway

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"panteras/tunnel"
)

// Peers who were connected do not wait until thousands of others are set up; on an
// interface that was there, nobody is taken away in between.
func TestThoseWhoWereConnectedComeFirst(t *testing.T) {
	for name, adopted := range map[string]bool{"new interface": false, "taken over": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.host.adopted = adopted
			a, b, c := r.add("a", nil), r.add("b", nil), r.add("c", nil)
			if err := os.MkdirAll(string(r.folder), 0o700); err != nil {
				t.Fatal(err)
			}
			place := fmt.Sprintf(`{%q: "192.0.2.1:51820"}`, b.PublicKey)
			if err := os.WriteFile(r.folder.File(endpointsFile), []byte(place), 0o600); err != nil {
				t.Fatal(err)
			}
			r.start()
			r.have(a, b, c)
			want, calls := []tunnel.Peer{b}, 1
			if adopted {
				want, calls = []tunnel.Peer{a, b, c}, 0
			}
			r.host.look(func() {
				var got []tunnel.PublicKey
				for _, p := range r.host.atUp {
					got = append(got, tunnel.PublicKey(p.PublicKey))
				}
				if !slices.EqualFunc(got, want, func(k tunnel.PublicKey, p tunnel.Peer) bool { return k == p.PublicKey }) {
					t.Errorf("the interface came up with %d peers, want %d", len(got), len(want))
				}
				if len(r.host.called) != calls {
					t.Errorf("%d peers were called on, want %d", len(r.host.called), calls)
				}
				if rules, peers, up := slices.Index(r.host.done, "rules"), slices.Index(r.host.done, "peers"), slices.Index(r.host.done, "up"); rules > peers || peers > up {
					t.Errorf("order: %v", r.host.done)
				}
			})
		})
	}
}
