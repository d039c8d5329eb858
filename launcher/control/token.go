package control

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// TokenName is the file in STATE_DIR that holds the token.
const TokenName = "token"

// tokenBytes is how much chance is in a token; a file holds twice as many letters.
const tokenBytes = 32

// token is what a client must show, as its hash. Formatted it says nothing.
type token struct {
	sum  [sha256.Size]byte
	none bool // there is no token, and nothing is right
}

func newToken(text string) token { return token{sha256.Sum256([]byte(text)), text == ""} }

func (t token) String() string   { return "********" }
func (t token) GoString() string { return "********" }

// is compares in a time that does not depend on what is right or wrong.
func (t token) is(text string) bool {
	sum := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(t.sum[:], sum[:]) == 1 && !t.none
}

// Token reads the token in the file at path, and makes it when there is none: only the
// launcher's user can read it.
func Token(path string) (string, error) {
	text, err := readToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, err
	}
	random := make([]byte, tokenBytes)
	_, _ = rand.Read(random) // never fails
	text = hex.EncodeToString(random)
	err = writeOnce(path, text+"\n")
	if errors.Is(err, fs.ErrExist) { // somebody was faster
		return readToken(path)
	}
	if err != nil {
		return "", fmt.Errorf("cannot make the token of the API: %w", err)
	}
	return text, nil
}

func readToken(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("cannot read the token of the API: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("cannot read the token of the API: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s, the token of the API, has mode %v: others may know it; remove it and run `panteras reload`, and a new one is made", path, info.Mode())
	}
	const most = 4096
	content := make([]byte, most)
	n, err := f.Read(content)
	text := strings.TrimSpace(string(content[:n]))
	if len(text) < tokenBytes || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s does not hold a token of at least %d letters (%w); remove it and run `panteras reload`, and a new one is made", path, tokenBytes, errors.Join(err, errNoToken))
	}
	return text, nil
}

var errNoToken = errors.New("it is empty, short or no text")

// writeOnce makes a file that holds all of its content from the moment it is there, and
// also after a power failure. An error that is fs.ErrExist tells that there is one.
func writeOnce(path, content string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // has mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	_, err = temporary.WriteString(content)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	// Unlike os.Rename this replaces nothing: a token that others have learned stays.
	if err := unix.Renameat2(unix.AT_FDCWD, temporary.Name(), unix.AT_FDCWD, path, unix.RENAME_NOREPLACE); err != nil {
		return &fs.PathError{Op: "rename", Path: path, Err: err}
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
