package store

import (
	"testing"
)

// aTransactionHappensAsAWhole tries every operation on a version that is not the
// present one, beside one that could be done.
func aTransactionHappensAsAWhole(t *testing.T, s *Store, _ *testClock) {
	ctx := t.Context()
	apply := func(ops ...op) bool {
		t.Helper()
		done, err := s.kv.apply(ctx, ops)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	index := func(key string) uint64 {
		t.Helper()
		e, err := s.kv.get(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		return e.index
	}
	if !apply(op{key: "peers/a", value: []byte(`1`)}) {
		t.Fatal("the first entry was not made")
	}
	old := index("peers/a")
	if !apply(op{key: "peers/a", index: old, value: []byte(`2`)}) {
		t.Fatal("the entry was not changed")
	}
	now := index("peers/a")
	for what, wrong := range map[string]op{
		"making an entry that exists":       {key: "peers/a", value: []byte(`3`)},
		"changing an old version":           {key: "peers/a", index: old, value: []byte(`3`)},
		"deleting an old version":           {key: "peers/a", index: old},
		"deleting what is not to be there":  {key: "peers/a"},
		"changing what does not exist":      {key: "peers/b", index: now, value: []byte(`3`)},
		"changing a version yet to come":    {key: "peers/a", index: now + 1000, value: []byte(`3`)},
		"deleting a version that yet comes": {key: "peers/a", index: now + 1000},
	} {
		if apply(op{key: "peers/other", value: []byte(`1`)}, wrong) || apply(wrong, op{key: "peers/other", value: []byte(`1`)}) {
			t.Errorf("%s was done", what)
		}
		if index("peers/other") != 0 || index("peers/a") != now {
			t.Errorf("%s was not done, and something else was", what)
		}
	}
	if !apply(op{key: "peers/a", index: now}) || index("peers/a") != 0 {
		t.Error("the entry was not deleted")
	}
	if !apply(op{key: "peers/a"}, op{key: "peers/other", value: []byte(`1`)}) || index("peers/a") != 0 {
		t.Error("what is not there and is not to be was in the way")
	}
}
