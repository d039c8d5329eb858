package tunnel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// state makes a snapshot of peers with the numbers.
func state(cluster Cluster, numbers ...byte) Snapshot {
	s := Snapshot{Cluster: cluster}
	for _, n := range numbers {
		s.Peers = append(s.Peers, Peer{Name: fmt.Sprint("peer", n), PublicKey: PublicKey{n}})
	}
	return s
}

func names(s *Snapshot) string {
	var list []string
	for i := range s.Peers {
		list = append(list, s.Peers[i].Name)
	}
	return strings.Join(list, " ")
}

func TestSettle(t *testing.T) {
	ours, theirs := NewCluster(), NewCluster()
	consistent := func(s Snapshot) Snapshot { s.Consistent = true; return s }
	importing := func(s Snapshot) Snapshot { s.Cluster.Importing = true; return s }
	broken := func(s Snapshot, kind Kind, name string) Snapshot {
		s.Broken = append(s.Broken, Broken{kind, name, errors.New("garbage in " + name)})
		return s
	}
	for _, test := range []struct {
		name       string
		last, next Snapshot
		verdict    Verdict
		want       string // peers in force
		problem    string
	}{
		{"the first state", Snapshot{}, state(ours, 1, 2), Accept, "peer1 peer2", ""},
		{"a change", state(ours, 1, 2), state(ours, 1, 2, 3), Accept, "peer1 peer2 peer3", ""},
		{"half are gone", state(ours, 1, 2), state(ours, 1), Accept, "peer1", ""},
		{"more than half are gone", state(ours, 1, 2, 3), state(ours, 1, 9), Confirm, "peer1 peer2 peer3", "2 of 3 peers are gone"},
		{"all are gone", state(ours, 1), state(ours), Confirm, "peer1", "1 of 1"},
		{"all are really gone", state(ours, 1, 2), consistent(state(ours)), Accept, "", ""},
		{"an empty answer", state(ours, 1, 2), consistent(Snapshot{}), Refuse, "peer1 peer2", "the token may not read it"},
		{"another store", state(ours, 1), consistent(state(theirs, 1)), Refuse, "peer1", "made anew"},
		{"another store, and nothing to lose", state(ours), state(theirs, 1), Accept, "peer1", ""},
		{"an import under way", state(ours, 1, 2, 3), consistent(importing(state(ours, 1, 2))), Refuse, "peer1 peer2 peer3", "peer import"},
		{"an import under way, and nobody to lose", state(theirs), importing(state(ours, 1)), Refuse, "", "peer import"},
		{"a broken peer", state(ours, 1, 2, 3), broken(state(ours, 1, 3), KindPeer, "peer2"), Accept, "peer1 peer2 peer3", "last good state"},
		{"a new peer that is broken", state(ours, 1), broken(state(ours, 1), KindPeer, "peer2"), Accept, "peer1", "left out"},
		{"all peers are broken", state(ours, 1), broken(state(ours), KindPeer, "peer1"), Accept, "peer1", "last good state"},
		{"a broken cluster", state(ours, 1), broken(state(Cluster{}, 1, 2), KindCluster, ""), Accept, "peer1 peer2", "last good state"},
	} {
		got, verdict, problem := Settle(&test.last, &test.next)
		said := fmt.Sprint(got.Broken, problem)
		if verdict != test.verdict || (problem == nil) != (verdict == Accept) || names(&got) != test.want || !strings.Contains(said, test.problem) || test.problem == "" && len(got.Broken) > 0 {
			t.Errorf("%s: verdict %d, peers %q, problems %s", test.name, verdict, names(&got), said)
		}
	}
}

// Who changes a store is told whenever those who follow it would refuse it.
func TestRefusal(t *testing.T) {
	ours := NewCluster()
	for _, c := range []Cluster{{}, ours, NewCluster(), {ULA: ours.ULA, Importing: true}, {Importing: true}} {
		last, next := state(ours, 1), state(c, 1)
		_, verdict, _ := Settle(&last, &next)
		if err := Refusal(c, ours); (err != nil) != (verdict == Refuse) || err != nil && !strings.Contains(err.Error(), "panteras peer import") {
			t.Errorf("%+v: verdict %d, and who changes it is told %v", c, verdict, err)
		}
	}
}

// scripted is a store that tells what a test wants.
type scripted struct {
	told chan Snapshot
	fail chan error

	mu       sync.Mutex
	read     Snapshot
	readErr  error
	attempts int
}

func (s *scripted) Read(context.Context) (Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	return s.read, s.readErr
}

func (s *scripted) answer(read Snapshot, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read, s.readErr = read, err
}

func (s *scripted) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempts
}

func (s *scripted) Watch(ctx context.Context, seen func(Snapshot, error)) {
	for {
		select {
		case snap := <-s.told:
			seen(snap, nil)
		case err := <-s.fail:
			seen(Snapshot{}, err)
		case <-ctx.Done():
			return
		}
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours := NewCluster()
		store := &scripted{told: make(chan Snapshot), fail: make(chan error)}
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var accepted, reported []string
		keep := func(list *[]string, text string) {
			mu.Lock()
			defer mu.Unlock()
			*list = append(*list, text)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Follow(ctx, store, state(ours, 1, 2, 3), func(s Snapshot) { keep(&accepted, names(&s)) }, func(err error) { keep(&reported, err.Error()) })
		}()
		expect := func(what string, wantAccepted, wantReported int, last string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(accepted) != wantAccepted || wantReported >= 0 && len(reported) != wantReported || wantAccepted > 0 && accepted[wantAccepted-1] != last {
				t.Fatalf("%s: accepted %q, reported %q", what, accepted, reported)
			}
		}
		store.fail <- errors.New("Consul is gone")
		expect("an error", 0, 1, "")
		if !strings.Contains(reported[0], "Consul is gone; the last state stays in force") {
			t.Errorf("reported %q", reported)
		}
		store.told <- state(ours, 1, 2, 3, 4)
		expect("news", 1, 1, "peer1 peer2 peer3 peer4")

		// Most are gone, and a consistent read says that they are not.
		full := state(ours, 1, 2, 3, 4)
		full.Consistent = true
		store.answer(full, nil)
		store.told <- state(ours)
		expect("a wrong removal", 2, 2, "peer1 peer2 peer3 peer4")

		// Most are gone, and there is nobody to ask: it is asked until somebody answers.
		store.answer(Snapshot{}, errors.New("no leader"))
		store.told <- state(ours, 4)
		expect("an unconfirmed removal", 2, 4, "peer1 peer2 peer3 peer4")
		time.Sleep(10 * confirmRetry)
		synctest.Wait()
		if attempts := store.count(); attempts < 10 {
			t.Fatalf("%d attempts to confirm", attempts)
		}
		expect("an unconfirmed removal", 2, -1, "peer1 peer2 peer3 peer4")
		one := state(ours, 4)
		one.Consistent = true
		store.answer(one, nil)
		time.Sleep(confirmRetry)
		expect("a confirmed removal", 3, -1, "peer4")

		// An empty store is no removal, even if it is consistent.
		store.answer(Snapshot{Consistent: true}, nil)
		store.told <- Snapshot{Consistent: true}
		expect("an empty store", 3, -1, "peer4")
		if last := reported[len(reported)-1]; !strings.Contains(last, "peer import") {
			t.Errorf("reported %q", last)
		}

		// When it is back, those are not gone whose entries come a little later.
		store.told <- state(ours, 4, 5, 6, 7)
		expect("the store is back", 4, -1, "peer4 peer5 peer6 peer7")
		store.told <- Snapshot{Consistent: true}
		expect("an empty store", 4, -1, "peer4 peer5 peer6 peer7")
		full = state(ours, 4, 5, 6, 7, 8)
		full.Consistent = true
		store.answer(full, nil)
		late := state(ours, 4, 5, 6)
		late.Consistent = true
		store.told <- late
		expect("an import that has ended", 5, -1, "peer4 peer5 peer6 peer7 peer8")
		reads := store.count()
		store.told <- state(ours, 4, 5, 6, 8)
		expect("a removal", 6, -1, "peer4 peer5 peer6 peer8")
		if store.count() != reads {
			t.Error("a removal of one needs a second read")
		}

		// After an error a first look may be into the second half of an import, with the cluster
		// of before it.
		under := state(ours, 4, 5)
		under.Cluster.Importing, under.Consistent = true, true
		store.answer(under, nil)
		store.fail <- errors.New("Consul is gone")
		store.told <- state(ours, 4, 5, 6)
		expect("an import under way", 6, -1, "peer4 peer5 peer6 peer8")
		if store.count() == reads || !strings.Contains(reported[len(reported)-1], "an import into the store has not ended") {
			t.Errorf("%d reads, reported %q", store.count()-reads, reported[len(reported)-1])
		}
		cancel()
		<-done
	})
}
