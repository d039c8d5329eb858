package tunnel

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// PublicKey is a Curve25519 public key. Its text is base64, as WireGuard writes it.
type PublicKey wgtypes.Key

// ParsePublicKey reads 44 characters of base64. A key of zeros is refused: it is
// what a forgotten key looks like.
func ParsePublicKey(text string) (PublicKey, error) {
	key, err := parseKey(text)
	if err != nil {
		return PublicKey{}, err
	}
	return PublicKey(key), nil
}

// String is the key in base64.
func (k PublicKey) String() string { return wgtypes.Key(k).String() }

// PathName is the key as one element of a path: hexadecimal, because base64 holds slashes.
func (k PublicKey) PathName() string { return hex.EncodeToString(k[:]) }

// MarshalText implements encoding.TextMarshaler.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *PublicKey) UnmarshalText(text []byte) (err error) {
	*k, err = ParsePublicKey(string(text))
	return err
}

// SecretKey is a private or a preshared key. Printing or logging it shows
// asterisks; [SecretKey.Reveal] is the only way to its text.
type SecretKey struct{ key wgtypes.Key }

// masked is what is printed in place of a secret.
const masked = "********"

// ParseSecretKey reads 44 characters of base64. The error never repeats them.
func ParseSecretKey(text string) (SecretKey, error) {
	key, err := parseKey(text)
	return SecretKey{key}, err
}

// NewPrivateKey makes a private key.
func NewPrivateKey() (SecretKey, error) {
	key, err := wgtypes.GeneratePrivateKey()
	return SecretKey{key}, err
}

// NewPresharedKey makes a key that both ends of a tunnel know.
func NewPresharedKey() (SecretKey, error) {
	key, err := wgtypes.GenerateKey()
	return SecretKey{key}, err
}

// Public is the public key of a private key.
func (k SecretKey) Public() PublicKey { return PublicKey(k.key.PublicKey()) }

// Key is the key as WireGuard's libraries take it. Never print it.
func (k SecretKey) Key() wgtypes.Key { return k.key }

// Reveal is the key in base64.
func (k SecretKey) Reveal() string { return k.key.String() }

// IsZero tells that there is no key.
func (k SecretKey) IsZero() bool {
	var zero wgtypes.Key
	return subtle.ConstantTimeCompare(k.key[:], zero[:]) == 1
}

// String hides the key.
func (SecretKey) String() string { return masked }

// GoString hides the key.
func (SecretKey) GoString() string { return masked }

// LogValue hides the key.
func (SecretKey) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalText fails, so that no secret gets into JSON by accident.
func (SecretKey) MarshalText() ([]byte, error) {
	return nil, errors.New("a secret key is not to be written")
}

// errKey says what a key looks like, without repeating what was given.
var errKey = errors.New("is not a WireGuard key: 44 characters of base64, such as `wg pubkey` prints")

func parseKey(text string) (wgtypes.Key, error) {
	// Strict: the last character of a key has two bits to spare, and a key must
	// not have two texts.
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != wgtypes.KeyLen || len(text) != base64.StdEncoding.EncodedLen(wgtypes.KeyLen) {
		return wgtypes.Key{}, errKey
	}
	key := wgtypes.Key(raw)
	if key == (wgtypes.Key{}) {
		return wgtypes.Key{}, errKey
	}
	return key, nil
}
