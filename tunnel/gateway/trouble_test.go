package gateway

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"panteras/internal/lab"
	"panteras/tunnel"
	"panteras/tunnel/store"
)

// What somebody has made of the gateway's own entry in the store is put right.
func TestAGatewaysBrokenEntryIsWrittenAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.store = store.NewFile(store.FileIn(r.folder))
	r.start()
	published := func() bool {
		s, err := r.store.Read(context.Background())
		_, ok := s.Gateway("gw")
		return err == nil && ok
	}
	lab.Eventually(t, testPatience, "the gateway to be published", published)
	// It has seen its own entry when it has seen what came later, twice: of several watches of the
	// store each has looked in between.
	alice := r.add("alice", nil)
	r.have(alice)
	r.have(alice, r.add("bob", nil))
	text, err := os.ReadFile(store.FileIn(r.folder))
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(text), `"endpoint":"gw.example:51820"`, `"endpoint":"no port of it"`, 1)
	if err := os.WriteFile(store.FileIn(r.folder), []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	if published() {
		t.Fatal("the entry is not broken")
	}
	lab.Eventually(t, testPatience, "the gateway to be published again", published)
	// So is what another gateway says in its name, and that there are two is told.
	s, err := r.store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := s.Gateways[0]
	key := other.PublicKey
	other.PublicKey = tunnel.PublicKey{1}
	if err := r.store.Publish(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, testPatience, "the other one to be told of", func() bool { return strings.Contains(r.log.String(), "another gateway, with another key") })
	lab.Eventually(t, testPatience, "the gateway to be published once more", func() bool {
		s, err := r.store.Read(context.Background())
		g, ok := s.Gateway("gw")
		return err == nil && ok && g.PublicKey == key
	})
}

// What cannot be kept on disk is said once, tried again, and told when it is kept.
func TestTheStateIsSavedWhenTheDiskIsBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	lab.Eventually(t, testPatience, "the state to be saved", func() bool { _, err := os.Stat(r.folder.File(memoryFile)); return err == nil })
	// A folder in its place is what no file can replace, for root either.
	if err := errors.Join(os.Remove(r.folder.File(memoryFile)), os.MkdirAll(r.folder.File(memoryFile)+"/x", 0o700)); err != nil {
		t.Fatal(err)
	}
	alice := r.add("alice", nil)
	r.have(alice)
	lab.Eventually(t, testPatience, "the failure to be told", func() bool { return strings.Contains(r.log.String(), "cannot save the state") })
	bob := r.add("bob", nil)
	r.have(alice, bob)
	r.gateway.askReport() // who answers has done with bob
	if err := os.RemoveAll(r.folder.File(memoryFile)); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, testPatience, "the end of it to be told", func() bool { return strings.Contains(r.log.String(), "no longer: cannot save the state") })
	if m, err := recall(r.folder); err != nil || len(m.Peers) != 2 {
		t.Errorf("saved: %+v, %v", m, err)
	}
	if n := strings.Count(r.log.String(), "cannot save the state"); n != 2 {
		t.Errorf("it is told %d times", n)
	}
}
