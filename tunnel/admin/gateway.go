package admin

import (
	"context"
	"slices"

	"panteras/tunnel"
)

// Forgotten is a gateway that was taken out of the store, and what becomes of its peers.
type Forgotten struct {
	// Peers are those whose client files are for it.
	Peers []string
	// Twin is another gateway that their clients cannot tell from it; "" if there is none.
	Twin string
}

// ForgetGateway takes a gateway that is no more out of the store: no client file is made for
// it any more. One that runs after all makes itself known again. Peers stay as they are.
func (a *Admin) ForgetGateway(ctx context.Context, name string) (*Forgotten, error) {
	snap, err := a.Store.Read(ctx)
	if err != nil {
		return nil, err
	}
	broken := slices.ContainsFunc(snap.Broken, func(b tunnel.Broken) bool { return b.Kind == tunnel.KindGateway && b.Name == name })
	gone, err := tunnel.ChooseGateway(snap.Gateways, name, "")
	if err != nil && !broken {
		return nil, err
	}
	f := &Forgotten{}
	for i := range snap.Peers {
		if snap.Peers[i].Gateway == name {
			f.Peers = append(f.Peers, snap.Peers[i].Name)
		}
	}
	for i := range snap.Gateways {
		if g := &snap.Gateways[i]; g.Name != name && g.Twin(&gone) {
			f.Twin = g.Name
		}
	}
	if err := a.Store.Withdraw(ctx, name); err != nil {
		return nil, err
	}
	return f, a.Audit.append(&entry{Command: "gateway forget", Gateway: name})
}
