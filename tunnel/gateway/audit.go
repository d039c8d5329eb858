package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"panteras/tunnel"
)

// event is a change of somebody's access, for the audit log.
type event struct {
	what what
	peer tunnel.DesiredPeer
}

// what has become of somebody's access.
type what string

const (
	begins   what = "peer has access"
	rekeyed  what = "peer has another key"
	changed  what = "peer's access changed"
	removed  what = "peer removed"
	disabled what = "peer disabled"
	expired  what = "peer expired"
)

// ends says whether the peer has no access any more.
func (e event) ends() bool { return e.what == removed || e.what == disabled || e.what == expired }

// changes lists how access differs between two states, both sorted by name: what was taken
// away first. The snapshot tells why somebody's has ended.
func changes(before, after []tunnel.DesiredPeer, in *tunnel.Snapshot) []event {
	var gone, fresh []event
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(after) == 0 || len(before) > 0 && before[0].Name < after[0].Name:
			gone = append(gone, event{ended(before[0].Name, in), before[0]})
			before = before[1:]
			continue
		case len(before) == 0 || after[0].Name < before[0].Name:
			fresh = append(fresh, event{begins, after[0]})
			after = after[1:]
			continue
		case before[0].PublicKey != after[0].PublicKey:
			fresh = append(fresh, event{rekeyed, after[0]})
		case !sameAccess(&before[0], &after[0]):
			fresh = append(fresh, event{changed, after[0]})
		}
		before, after = before[1:], after[1:]
	}
	return append(gone, fresh...)
}

// ended is why a peer has no access any more.
func ended(name string, in *tunnel.Snapshot) what {
	switch now, ok := in.Peer(name); {
	case !ok:
		return removed
	case now.Disabled:
		return disabled
	}
	return expired
}

func sameAccess(a, b *tunnel.DesiredPeer) bool {
	return a.Preshared == b.Preshared && a.Expires.Equal(b.Expires) &&
		slices.Equal(a.Addresses, b.Addresses) && slices.EqualFunc(a.Rules, b.Rules, tunnel.Rule.Equal)
}

// attrs is what the audit log says about a peer: who, and what it may; nothing secret.
func (e *event) attrs() []any {
	rules := make([]string, len(e.peer.Rules))
	for i, r := range e.peer.Rules {
		rules[i] = r.String()
	}
	out := []any{"peer", e.peer.Name, "public_key", e.peer.PublicKey.String(), "addresses", e.peer.Addresses, "allow", rules}
	if !e.peer.Expires.IsZero() {
		out = append(out, "expires", e.peer.Expires)
	}
	return out
}

// auditMany is from how many changes at once, as at a start, only the number is logged one
// level lower in detail.
const auditMany = 100

// record tells the audit log which changes of access are in force and which could not be
// made, given what the firewall and the interface said. It takes both to let somebody in;
// either keeps somebody out.
func (g *Gateway) record(events []event, rulesErr, wireErr error) {
	err := errors.Join(rulesErr, wireErr)
	if err == nil {
		audit(g.Log, slog.LevelInfo, "", events)
		g.granted, g.failing = g.desired.Peers, nil
		return
	}
	var done, failed []event
	out := map[string]bool{}
	for _, e := range events {
		if e.ends() && (rulesErr == nil || wireErr == nil) {
			done, out[e.peer.Name] = append(done, e), true
			continue
		}
		id := fmt.Sprint(e.what, e.attrs())
		if !g.failing[id] {
			failed = append(failed, e)
		}
		if g.failing == nil {
			g.failing = map[string]bool{}
		}
		g.failing[id] = true
	}
	audit(g.Log, slog.LevelInfo, "", done)
	audit(g.Log, slog.LevelError, "not in force: ", failed, "error", err)
	g.granted = slices.DeleteFunc(slices.Clone(g.granted), func(p tunnel.DesiredPeer) bool { return out[p.Name] })
}

// audit logs events, with attributes of all of them.
func audit(log *slog.Logger, level slog.Level, prefix string, events []event, common ...any) {
	common = append(common, "audit", true)
	if len(events) > auditMany {
		log.Log(context.Background(), level, prefix+"access of many peers changed", append(common, "peers", len(events))...)
		level = slog.LevelDebug
	}
	for i := range events {
		log.Log(context.Background(), level, prefix+string(events[i].what), slices.Concat(common, events[i].attrs())...)
	}
}
