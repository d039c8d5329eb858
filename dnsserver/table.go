package dnsserver

// table maps 64-bit keys that are random or hashed to flight numbers: open addressing with linear probing, deletion without tombstones.
// It never allocates after it has grown to the load it carries, which a built-in map does not promise.
type table struct {
	keys []uint64
	vals []int32 // none: empty
	n    int
}

func newTable(capacity int) *table {
	size := 64
	for size < 2*capacity {
		size *= 2
	}
	t := &table{keys: make([]uint64, size), vals: make([]int32, size)}
	for i := range t.vals {
		t.vals[i] = none
	}
	return t
}

// slot spreads keys whose low bits are a message id next to a socket number.
func (t *table) slot(key uint64) int {
	return int(key * 0x9e3779b97f4a7c15 >> 32 & uint64(len(t.keys)-1))
}

func (t *table) get(key uint64) int32 {
	for i := t.slot(key); t.vals[i] != none; i = (i + 1) & (len(t.keys) - 1) {
		if t.keys[i] == key {
			return t.vals[i]
		}
	}
	return none
}

func (t *table) put(key uint64, val int32) {
	if 2*t.n >= len(t.keys) {
		t.grow()
	}
	i := t.slot(key)
	for t.vals[i] != none && t.keys[i] != key {
		i = (i + 1) & (len(t.keys) - 1)
	}
	if t.vals[i] == none {
		t.n++
	}
	t.keys[i], t.vals[i] = key, val
}

func (t *table) grow() {
	old := *t
	*t = *newTable(len(old.keys))
	for i, v := range old.vals {
		if v != none {
			t.put(old.keys[i], v)
		}
	}
}

func (t *table) del(key uint64) {
	mask := len(t.keys) - 1
	i := t.slot(key)
	for t.keys[i] != key || t.vals[i] == none {
		if t.vals[i] == none {
			return
		}
		i = (i + 1) & mask
	}
	t.n--
	for j := i; ; {
		t.vals[i] = none
		for {
			j = (j + 1) & mask
			if t.vals[j] == none {
				return
			}
			// The entry at j may move to i if its own slot is not cyclically in (i, j].
			if k := t.slot(t.keys[j]); (j-k)&mask >= (j-i)&mask {
				break
			}
		}
		t.keys[i], t.vals[i] = t.keys[j], t.vals[j]
		i = j
	}
}
