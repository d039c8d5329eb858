package tunnel

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// Secrets are the two keys of a gateway. They never leave its state folder,
// unless an operator copies them to make two gateways twins.
type Secrets struct {
	// Private is the gateway's private key.
	Private SecretKey
	// Preshared is what preshared keys are made of. It is independent of Private,
	// so that who ever breaks Curve25519 still lacks it. The zero key where none
	// of its peers has a preshared key.
	Preshared SecretKey
}

// errNoPresharedSecret tells what to do where the secret is missing.
var errNoPresharedSecret = errors.New("this host does not have the secret of preshared keys; copy tunnel/preshared.key in STATE_DIR from the gateway")

// NewPreshared makes the public half of a preshared key.
func (s *Secrets) NewPreshared() (*Preshared, error) {
	if s.Preshared.IsZero() {
		return nil, errNoPresharedSecret
	}
	p := &Preshared{Salt: make([]byte, 16), Secret: s.presharedID()}
	rand.Read(p.Salt) // never fails
	return p, nil
}

// PresharedKey is the preshared key of a peer that has one. It depends on the
// peer's public key, so a salt that was copied to another peer is of no use.
func (s *Secrets) PresharedKey(p *Peer) (SecretKey, error) {
	if s.Preshared.IsZero() {
		return SecretKey{}, errNoPresharedSecret
	}
	if p.Preshared.Secret != s.presharedID() {
		return SecretKey{}, fmt.Errorf("its preshared key was made with the secret %s, and this host has %s; copy tunnel/preshared.key in STATE_DIR from the gateway", p.Preshared.Secret, s.presharedID())
	}
	return SecretKey{wgtypes.Key(s.derive("preshared key", p.PublicKey[:], p.Preshared.Salt))}, nil
}

// presharedID names the secret of preshared keys.
func (s *Secrets) presharedID() string { return hex.EncodeToString(s.derive("identifier")[:4]) }

// derive makes 32 bytes of the secret for a purpose. All parts but the last have
// fixed lengths, so no two lists of them read the same.
func (s *Secrets) derive(purpose string, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, s.Preshared.key[:])
	mac.Write([]byte("panteras tunnel " + purpose + "\x00"))
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}
