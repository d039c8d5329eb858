package main

import (
	"panteras/configs"
	"panteras/internal/consulclient"
	"panteras/tunnel"
	"panteras/tunnel/store"
)

// unusedByTunnel are settings of the host that only matter to other commands.
var unusedByTunnel = []string{"CONSUL_DNS", "DNS_MODE"}

// openStore opens the store of peers that the host uses. given tells that an operator
// named it.
func openStore(s *configs.Settings, folder tunnel.Folder, given bool) (*store.Store, error) {
	choice, err := store.Choose(folder, store.Choice(s.TunnelStore), given)
	if err != nil {
		return nil, err
	}
	return openChosen(s, folder, choice)
}

// openChosen opens one store or the other.
func openChosen(s *configs.Settings, folder tunnel.Folder, choice store.Choice) (*store.Store, error) {
	if choice == store.InFile {
		return store.NewFile(store.FileIn(folder)), nil
	}
	client, err := consulclient.New(s)
	if err != nil {
		return nil, err
	}
	return store.NewConsul(client, s.ConsulHTTPAddr), nil
}

// followingGateway is a gateway whose store is asked by the settings in force, as they and
// the files that they name are: a token is rotated by a reload.
type followingGateway struct {
	gateway interface {
		Reload(s *configs.Settings) error
	}
	peers  *store.Store
	folder tunnel.Folder
}

// Reload takes over settings, or none if Consul cannot be asked by them.
func (g followingGateway) Reload(s *configs.Settings) error {
	choice, err := store.Remembered(g.folder)
	if err != nil {
		return err
	}
	if choice != store.InConsul {
		return g.gateway.Reload(s)
	}
	client, err := consulclient.New(s)
	if err != nil {
		return err
	}
	if err := g.gateway.Reload(s); err != nil {
		return err
	}
	g.peers.UseClient(client, s.ConsulHTTPAddr)
	return nil
}
