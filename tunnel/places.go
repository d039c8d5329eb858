package tunnel

import (
	"context"
	"net/netip"
)

// Places are where peers are connected from, by one of their addresses inside the tunnel.
type Places map[netip.Addr]netip.AddrPort

// PlaceStore is the part of a [Store] by which gateways that stand in for each other tell
// where peers are. It is no part of a [Snapshot]: it changes whenever somebody comes or
// goes, and matters to twins alone.
type PlaceStore interface {
	// PublishPlaces keeps where a gateway's peers are, in place of what it said before.
	PublishPlaces(ctx context.Context, gateway string, places Places) error
	// WatchPlaces tells what all gateways say, by their names, at once and after every
	// change, until ctx ends, and then returns. It calls seen from one goroutine: with all
	// of it, or with an error when that cannot be read; it goes on trying. What cannot be
	// understood is left out.
	WatchPlaces(ctx context.Context, seen func(map[string]Places, error))
}
