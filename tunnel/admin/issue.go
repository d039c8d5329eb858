package admin

import (
	"panteras/tunnel"
	"panteras/tunnel/client"
)

// keys are the secrets of a client file; zero keys are not known or not wanted.
type keys struct{ private, preshared tunnel.SecretKey }

// keys makes what a peer lacks: a key pair, unless the client made one, and a
// preshared key, if one is wanted.
func (a *Admin) keys(peer *tunnel.Peer, gateway *tunnel.GatewayInfo, preshared bool) (keys, error) {
	var k keys
	var err error
	if peer.PublicKey == (tunnel.PublicKey{}) {
		if k.private, err = tunnel.NewPrivateKey(); err != nil {
			return k, err
		}
		peer.PublicKey = k.private.Public()
	}
	peer.Preshared = nil
	if !preshared {
		return k, nil
	}
	secrets, err := a.Folder.Secrets()
	if err != nil {
		return k, err
	}
	if secrets.Preshared.IsZero() && !secrets.Private.IsZero() && secrets.Private.Public() == gateway.PublicKey {
		// This host is the gateway, so this is the place to make the secret.
		if secrets.Preshared, err = a.Folder.PresharedSecret(); err != nil {
			return k, err
		}
	}
	if peer.Preshared, err = secrets.NewPreshared(); err != nil {
		return k, err
	}
	k.preshared, err = secrets.PresharedKey(peer)
	return k, err
}

// issue makes the files and hands them out.
func (k *keys) issue(system client.System, peer tunnel.Peer, gateway tunnel.GatewayInfo, hand func(*Issued) error) (*Issued, error) {
	files, err := client.Render(system, &peer, &gateway, k.private, k.preshared)
	if err != nil {
		return nil, err
	}
	issued := &Issued{Peer: peer, Gateway: gateway, Files: files, Complete: !k.private.IsZero()}
	return issued, hand(issued)
}
