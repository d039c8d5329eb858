package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"panteras/internal/statefile"
	"panteras/tunnel"
)

// Choice is where the peers of a host are kept: the value of TUNNEL_STORE.
type Choice string

// The stores to choose from.
const (
	InConsul Choice = "consul"
	InFile   Choice = "file"
)

const choiceFile = "store"

// Choose tells which store a host uses. The first use is remembered in the folder;
// later ones need not say it again, and may not say otherwise, because they would
// find none of the peers. given tells that the operator named the store.
func Choose(folder tunnel.Folder, setting Choice, given bool) (Choice, error) {
	known, err := Remembered(folder)
	switch {
	case err != nil:
		return "", err
	case known == "":
		err := statefile.Create(folder.File(choiceFile), []byte(setting+"\n"))
		if errors.Is(err, fs.ErrExist) {
			return Choose(folder, setting, given)
		}
		return setting, err
	case given && known != setting:
		return "", fmt.Errorf("TUNNEL_STORE is %s, but the peers of this host are kept in %s (%s); to move them: panteras peer export --output FILE, then panteras peer import --tunnel-store %[1]s FILE",
			setting, known, folder.File(choiceFile))
	}
	return known, nil
}

// Remembered is the store that the host used before, "" if it used none.
func Remembered(folder tunnel.Folder) (Choice, error) {
	text, err := os.ReadFile(folder.File(choiceFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	known := Choice(strings.TrimSpace(string(text)))
	if known != InConsul && known != InFile {
		return "", fmt.Errorf("%s holds %q, not %s or %s; write into it where the peers are", folder.File(choiceFile), known, InConsul, InFile)
	}
	return known, nil
}

// Remember makes a store the one that the host uses, in place of any other.
func Remember(folder tunnel.Folder, choice Choice) error {
	return statefile.Write(folder.File(choiceFile), []byte(choice+"\n"))
}

// FileIn is the path of the file store in the folder.
func FileIn(folder tunnel.Folder) string { return folder.File("peers.json") }
