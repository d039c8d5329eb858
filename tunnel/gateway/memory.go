package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"panteras/internal/statefile"
	"panteras/tunnel"
	"panteras/tunnel/store"
)

// memory is the last good state of the store, on disk: what is in force while the store
// cannot be reached, also after a restart. It is a [store.Backup], for those who lose the store
// and have no other.
type memory struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	// Saved is when, by the clock that expiries go by.
	Saved   time.Time      `json:"saved"`
	Cluster tunnel.Cluster `json:"cluster,omitzero"`
	Peers   []tunnel.Peer  `json:"peers"`
}

// memoryFile is its name in the tunnel's folder.
const memoryFile = "last-state.json"

// recall reads it; without a file it is empty. One that cannot be understood as a whole is
// an error, and empty.
func recall(folder tunnel.Folder) (memory, error) {
	file := folder.File(memoryFile)
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return memory{}, nil
	}
	var m memory
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	for i := range m.Peers {
		if err == nil {
			err = m.Peers[i].Check()
		}
	}
	if err != nil {
		return memory{}, fmt.Errorf("cannot use the last state in %s: %w", file, err)
	}
	slices.SortFunc(m.Peers, func(a, b tunnel.Peer) int { return strings.Compare(a.Name, b.Name) })
	return m, nil
}

// ClusterInForce is what the gateways share according to the state that the one with this
// folder has in force, or had last. It is zero if that has no peers or cannot be read.
func ClusterInForce(folder tunnel.Folder) tunnel.Cluster {
	m, err := recall(folder)
	if err != nil || len(m.Peers) == 0 {
		return tunnel.Cluster{}
	}
	return m.Cluster
}

// save writes it: whoever reads it finds the old state or the new one.
func (m *memory) save(folder tunnel.Folder) error {
	m.Format, m.Version = store.BackupFormat, store.BackupVersion
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return statefile.Write(folder.File(memoryFile), b)
}
