package store

import "encoding/json"

// table is a set of entries with versions: what memory holds, and files.
type table struct {
	// Index is that of the last change.
	Index   uint64         `json:"index"`
	Entries map[string]row `json:"entries"`
}

// row is an entry as it is written.
type row struct {
	Index uint64          `json:"index"`
	Value json.RawMessage `json:"value"`
}

func (t *table) get(key string) entry {
	r := t.Entries[key]
	return entry{value: r.Value, index: r.Index}
}

func (t *table) list(prefix string) map[string]entry {
	entries := map[string]entry{}
	for key, r := range t.Entries {
		if withPrefix(key, prefix) {
			entries[key] = entry{value: r.Value, index: r.Index}
		}
	}
	return entries
}

// apply does all operations, or none if one of them finds another version.
func (t *table) apply(ops []op) bool {
	for _, o := range ops {
		if t.Entries[o.key].Index != o.index {
			return false
		}
	}
	t.Index++
	for _, o := range ops {
		if o.value == nil {
			delete(t.Entries, o.key)
			continue
		}
		t.Entries[o.key] = row{Index: t.Index, Value: o.value}
	}
	return true
}
