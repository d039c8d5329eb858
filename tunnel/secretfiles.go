package tunnel

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"panteras/internal/statefile"
)

// Folder is what a tunnel keeps in STATE_DIR.
type Folder string

// NewFolder is the tunnel's folder in the state folder.
func NewFolder(stateDir string) Folder { return Folder(filepath.Join(stateDir, "tunnel")) }

// File is the path of a file in the folder.
func (f Folder) File(name string) string { return filepath.Join(string(f), name) }

// The files of secrets. To make two gateways twins, copy both.
const (
	privateKeyFile   = "gateway.key"
	presharedKeyFile = "preshared.key"
)

// Secrets reads the secrets that are there; a key that is not there is zero. The
// secret of preshared keys may come later than a gateway's start, so a gateway
// reads again when it needs it.
func (f Folder) Secrets() (Secrets, error) {
	private, err := f.readKey(privateKeyFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Secrets{}, err
	}
	preshared, err := f.readKey(presharedKeyFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Secrets{}, err
	}
	return Secrets{Private: private, Preshared: preshared}, nil
}

// PrivateKey reads the gateway's private key, or makes it if there is none.
func (f Folder) PrivateKey() (SecretKey, error) { return f.ensure(privateKeyFile, NewPrivateKey) }

// PresharedSecret reads the secret of preshared keys, or makes it if there is none.
func (f Folder) PresharedSecret() (SecretKey, error) {
	return f.ensure(presharedKeyFile, NewPresharedKey)
}

// ensure makes a key unless there is one. Of several that make it at once all get
// the same.
func (f Folder) ensure(name string, generate func() (SecretKey, error)) (SecretKey, error) {
	key, err := f.readKey(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = generate(); err != nil {
		return SecretKey{}, err
	}
	if err := statefile.Create(f.File(name), []byte(key.Reveal()+"\n")); err != nil && !errors.Is(err, fs.ErrExist) {
		return SecretKey{}, fmt.Errorf("cannot keep a new key: %w", err)
	}
	return f.readKey(name)
}

func (f Folder) readKey(name string) (SecretKey, error) {
	text, err := statefile.ReadSecret(f.File(name))
	if err != nil {
		return SecretKey{}, err
	}
	key, err := ParseSecretKey(strings.TrimSpace(string(text)))
	if err != nil {
		return SecretKey{}, fmt.Errorf("what %s holds %w; restore it from a backup, because clients know the gateway by it", f.File(name), err)
	}
	return key, nil
}
