package store

import "context"

// kv is what a store is built on. Keys have no prefix here.
type kv interface {
	// get reads one entry; its index is 0 when there is none.
	get(ctx context.Context, key string) (entry, error)
	// list reads all entries whose keys begin with the prefix, consistently.
	list(ctx context.Context, prefix string) (map[string]entry, error)
	// apply does all operations or none: false says that an entry had another
	// index than an operation wanted.
	apply(ctx context.Context, ops []op) (bool, error)
	// watch calls seen with what list would read, at once and after changes, or with
	// an error, from one goroutine until ctx ends.
	watch(ctx context.Context, prefix string, seen func(view, error))
	// where names an entry for an operator.
	where(key string) string
	// most is how many operations one apply may have.
	most() int
}

// entry is a value and its version.
type entry struct {
	value []byte
	// index differs from that of every other version of the entry, and is not 0.
	index uint64
}

// view is the result of a read.
type view struct{ entries map[string]entry }

// op writes or deletes an entry, if it has the index: 0 when it must not exist.
type op struct {
	key   string
	index uint64
	value []byte // nil to delete
}
