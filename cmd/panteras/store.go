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
