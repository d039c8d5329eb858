package resolvconf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"panteras/internal/resolv"
	"panteras/internal/statefile"
)

// Host is the host as this package changes it.
type Host struct {
	// Record is the file that keeps what was there, in STATE_DIR.
	Record string
	// Run runs a command.
	Run func(ctx context.Context, argv ...string) error
	// Answers says why a DNS server does not answer.
	Answers func(ctx context.Context, server netip.Addr) error
}

// Install points the host at server, which must answer. If that fails half-way, or if
// the host's resolver does not answer afterwards, everything is put back.
func (h *Host) Install(ctx context.Context, server netip.Addr) (*Result, error) {
	if err := h.Answers(ctx, server); err != nil {
		return nil, fmt.Errorf("nothing was changed, because the DNS server does not answer at %s: %w; start it first (`panteras up`)", server, err)
	}
	unlock, err := h.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	undone := &Result{}
	before, err := h.read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case before.Server == server && before.holds():
		return &Result{}, nil
	default: // of another address, or undone by somebody
		if undone, err = h.restore(ctx, false); err != nil {
			return nil, fmt.Errorf("what was installed before cannot be undone: %w", err)
		}
	}
	f, err := gather()
	if err != nil {
		return nil, err
	}
	r := plan(f, server)
	if len(r.Changes) == 0 {
		return undone, nil
	}
	for i := range r.Changes {
		if r.Changes[i].Before, err = look(r.Changes[i].Path); err != nil {
			return nil, err
		}
	}
	older, err := h.read() // what somebody has changed since, and can still be put back
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := h.write(r); err != nil {
		return nil, fmt.Errorf("nothing was changed, because what is there cannot be kept: %w", err)
	}
	if err := h.apply(ctx, r); err != nil {
		if left := h.takeBack(context.WithoutCancel(ctx), older); left != nil {
			return nil, fmt.Errorf("%w; %w", err, left)
		}
		return nil, fmt.Errorf("everything was put back: %w", err)
	}
	result := &Result{Manager: r.Manager, Edited: undone.Edited}
	for _, c := range r.Changes {
		result.Paths = append(result.Paths, c.Path)
	}
	return result, nil
}

// apply does what a record says, and looks whether the host resolves names then.
func (h *Host) apply(ctx context.Context, r record) error {
	for i, c := range r.Changes {
		if err := c.After.put(c.Path); err != nil {
			return err
		}
		if i == 0 && r.Tell != nil {
			if err := h.Run(ctx, r.Tell...); err != nil {
				return err
			}
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	servers := resolv.Nameservers(string(content))
	if len(servers) == 0 {
		return fmt.Errorf("%s names no server now", file)
	}
	if err := h.Answers(ctx, servers[0]); err != nil {
		return fmt.Errorf("%s, which %s names now, does not answer: %w", servers[0], file, err)
	}
	return nil
}

// takeBack undoes an installation that failed, and leaves the record that was there before. An
// error says what is not as it was, of which there is a record then.
func (h *Host) takeBack(ctx context.Context, older record) error {
	if _, err := h.restore(ctx, true); err != nil || len(older.Changes) == 0 {
		return err
	}
	return h.write(older)
}

// Restore undoes Install. A path that somebody has changed since is left as it is, and can
// be put back later, unless force is set. It is no error if nothing was installed. If the
// manager cannot be told, the record stays, so that the next Restore tells it.
func (h *Host) Restore(ctx context.Context, force bool) (*Result, error) {
	if !exists(h.Record) {
		return &Result{}, nil
	}
	unlock, err := h.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return h.restore(ctx, force)
}

// restore is Restore while nobody else installs or restores.
func (h *Host) restore(ctx context.Context, force bool) (*Result, error) {
	r, err := h.read()
	if errors.Is(err, fs.ErrNotExist) {
		return &Result{}, nil
	}
	if err != nil {
		return nil, err
	}
	result := &Result{Manager: r.Manager}
	var undo, last, kept []change
	edited := map[string]state{}
	for _, c := range r.Changes {
		now, err := look(c.Path)
		if err != nil {
			return nil, err
		}
		if !force && !c.stands(now) && !now.same(c.Before) {
			if !now.asksOnly(r.Server, c.Path) {
				result.Kept = append(result.Kept, c.Path)
				kept = append(kept, c)
				continue
			}
			edited[c.Path] = now
			result.Edited = append(result.Edited, c.Path)
		}
		result.Paths = append(result.Paths, c.Path)
		if c.Path == copied { // while anything asks the DNS server, it has its recursors there
			last = append(last, c)
		} else {
			undo = append(undo, c)
		}
	}
	undo = append(undo, last...)
	for _, c := range undo {
		if now, ok := edited[c.Path]; ok {
			if err := now.put(c.Path + beside); err != nil {
				return nil, fmt.Errorf("%s is left as it is, because what somebody has changed in it cannot be kept: %w; --force puts it back all the same", c.Path, err)
			}
		}
		// What is as it was is not touched: it may be there that nobody may write.
		now, err := look(c.Path)
		if err != nil || !now.same(c.Before) || now.Mode != c.Before.Mode {
			if err := c.Before.put(c.Path); err != nil {
				return nil, fmt.Errorf("cannot put %s back: %w; the record of it is kept in %s", c.Path, err, h.Record)
			}
		}
	}
	var told error
	if r.Tell != nil && slices.ContainsFunc(undo, func(c change) bool { return c.Path == r.Changes[0].Path }) {
		// Last, because the manager may write what was put back.
		if err := h.Run(ctx, r.Tell...); err != nil && !r.nobody(err) { // the files matter more
			told = fmt.Errorf("the files are put back, but %s cannot be told: %w; when that is mended, run `panteras resolvconf restore` again", r.Manager, err)
			kept = append([]change{r.Changes[0]}, kept...)
		}
	}
	if len(kept) == 0 {
		return result, os.Remove(h.Record)
	}
	// Until somebody forces it, or installs again, it can still be put back.
	rest := record{Manager: r.Manager, Server: r.Server, Changes: kept}
	if kept[0].Path == r.Changes[0].Path {
		rest.Tell = r.Tell
	}
	return result, errors.Join(told, h.write(rest))
}

const lockPause = 50 * time.Millisecond

// lock keeps others from installing and restoring until unlock: of two at once, one would
// take what the other has made for what was there before.
func (h *Host) lock(ctx context.Context) (unlock func(), err error) {
	if err := statefile.MakeOpenFolder(filepath.Dir(h.Record)); err != nil {
		return nil, err
	}
	path := h.Record + ".lock"
	unlock, err = statefile.Lock(ctx, path, lockPause)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("another `panteras resolvconf` is at work, and holds %s: %w", path, ctx.Err())
	}
	return unlock, err
}

// write keeps a record.
func (h *Host) write(r record) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return statefile.Write(h.Record, content)
}

// read reads the record. fs.ErrNotExist means that nothing is installed.
func (h *Host) read() (record, error) {
	content, err := os.ReadFile(h.Record)
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(content, &r); err != nil {
		return record{}, fmt.Errorf("%s cannot be read: %w; put %s back by hand and remove that file", h.Record, err, file)
	}
	return r, nil
}

// holds tells whether the host asks the DNS server and nobody else, and that has its
// recursors, whatever else somebody has changed. What is left of a record by a restore that
// left something alone does not.
func (r record) holds() bool {
	asks := false
	for _, c := range r.Changes {
		points := c.Path == file || c.Path == resolvedDrop
		now, err := look(c.Path)
		if err != nil || !c.stands(now) && !(points && now.asksOnly(r.Server, c.Path)) {
			return false
		}
		asks = asks || points
		if c.Path == file { // resolved has a file of its own
			recursors, err := look(copied) // which may be of before, and then is not in the record
			if err != nil || !recursors.Exists || recursors.asksOnly(r.Server, copied) {
				return false
			}
		}
	}
	return asks
}

// gather looks at the host.
func gather() (facts, error) {
	var f facts
	var err error
	if f.now, err = look(file); err != nil {
		return f, err
	}
	if f.copy, err = look(copied); err != nil {
		return f, err
	}
	content, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	f.text = string(content)
	f.nmKeeps, f.dhclient = exists(nmKeeps), exists(dhclientHooks)
	files := []string{"/etc/systemd/resolved.conf"}
	for _, dir := range []string{"/usr/lib", "/run", "/etc"} {
		more, _ := filepath.Glob(dir + "/systemd/resolved.conf.d/*.conf")
		files = append(files, more...)
	}
	var texts []string
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		texts = append(texts, string(content))
	}
	f.global = globalServers(texts)
	return f, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
