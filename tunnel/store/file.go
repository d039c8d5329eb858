package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"panteras/internal/statefile"
)

// NewFile makes a store that is one file, which everybody on the host may use at
// once: who writes holds a lock beside it and replaces the file as a whole.
func NewFile(path string) *Store {
	return &Store{kv: newFile(path), now: time.Now}
}

// file is a kv in a file.
type file struct {
	path string
	// turn is held by who writes, so that only one of this process fights for the
	// lock with other processes.
	turn chan struct{}

	mu sync.Mutex
	// read is what the file held when it was like that, read-only.
	read fileContent
	like string
}

func newFile(path string) *file { return &file{path: path, turn: make(chan struct{}, 1)} }

// fileFormat is what the file says about itself.
const (
	fileFormat  = "panteras tunnel store"
	fileVersion = 1
)

// restore is what to do about a file that cannot be used: in its place an import would fail as well.
const restore = "move it away and restore a backup by `panteras peer import`; until then gateways have in force what they had"

// fileContent is the file as JSON.
type fileContent struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	table
}

// load reads the file, which may have as many entries as some number says.
func (f *file) load(entries int) (fileContent, error) {
	content := fileContent{Format: fileFormat, Version: fileVersion}
	text, err := os.ReadFile(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return content, err
	default:
		content = fileContent{table: table{Entries: make(map[string]row, entries)}}
		if err := decode(text, &content); err != nil {
			return content, fmt.Errorf("%s: %w; %s", f.path, err, restore)
		}
		if content.Format != fileFormat || content.Version != fileVersion {
			return content, fmt.Errorf("%s is not a %s of version %d: another version of panteras, or another program, has written it; %s", f.path, fileFormat, fileVersion, restore)
		}
	}
	if content.Entries == nil {
		content.Entries = map[string]row{}
	}
	for key, r := range content.Entries {
		// Index 0 would say that there is no entry.
		if r.Index == 0 || r.Index > content.Index {
			return content, fmt.Errorf("%s: the index of %q is %d, and that of the file %d; %s", f.path, key, r.Index, content.Index, restore)
		}
	}
	return content, nil
}

// look is load for those who only read: the file is not read again as long as it is
// the same.
func (f *file) look() (fileContent, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	like := f.signature() // before reading: what comes between is seen next time
	if like != "" && like == f.like {
		return f.read, nil
	}
	content, err := f.load(len(f.read.Entries))
	if err == nil {
		f.read, f.like = content, like
	}
	return content, err
}

// signature differs for every state of the file. Its beginning holds the index: inode,
// time and size alone could come again within the same tick of the clock. It is "" when
// there is nothing to read.
func (f *file) signature() string {
	r, err := os.Open(f.path)
	if err != nil {
		return ""
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return ""
	}
	begin := make([]byte, 128)
	n, _ := r.ReadAt(begin, 0)
	return fmt.Sprintf("%d %d %s", info.ModTime().UnixNano(), info.Size(), begin[:n])
}

func (f *file) get(ctx context.Context, key string) (entry, error) {
	content, err := f.look()
	return content.get(key), errors.Join(err, ctx.Err())
}

func (f *file) list(ctx context.Context, prefix string) (map[string]entry, error) {
	content, err := f.look()
	if err := errors.Join(err, ctx.Err()); err != nil {
		return nil, err
	}
	return content.list(prefix), nil
}

func (f *file) apply(ctx context.Context, ops []op) (bool, error) {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	content, err := f.load(0)
	if err != nil || !content.apply(ops) {
		return false, err
	}
	return true, statefile.Write(f.path, append(encode(content), '\n'))
}

// lockInterval is how long to rest between two attempts to get the lock.
const lockInterval = 5 * time.Millisecond

// lock keeps the writers of other processes out.
func (f *file) lock(ctx context.Context) (unlock func(), err error) {
	if err := statefile.MakeFolder(filepath.Dir(f.path)); err != nil {
		return nil, err
	}
	return statefile.Lock(ctx, f.path+".lock", lockInterval)
}

// lookInterval is how often the file is looked at.
const lookInterval = 100 * time.Millisecond

func (f *file) watch(ctx context.Context, prefix string, seen func(view, error)) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	var last map[string]entry
	var lastErr, lastLike string
	for {
		if like := f.signature(); last == nil || like != lastLike {
			entries, err := f.list(ctx, prefix)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				if err.Error() != lastErr {
					seen(view{}, err)
				}
				last, lastErr = nil, err.Error()
			default:
				if last == nil || !same(last, entries) {
					seen(view{entries}, nil)
				}
				last, lastErr, lastLike = entries, "", like
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (f *file) most() int { return unlimited }

func (f *file) where(key string) string { return f.path + " (" + key + ")" }
