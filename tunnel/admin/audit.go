package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"panteras/internal/statefile"
	"panteras/tunnel"
)

// AuditFile is the name of the audit log in LOG_DIR: one JSON object per line, only
// ever appended to.
const AuditFile = "tunnel-audit.log"

// Audit writes down who changed what. It holds no secrets.
type Audit struct {
	file *os.File
	by   string
	now  func() time.Time
}

// entry is a line of the log.
type entry struct {
	Time      time.Time        `json:"time"`
	By        string           `json:"by"`
	Command   string           `json:"command"`
	Peer      string           `json:"peer,omitempty"`
	PublicKey tunnel.PublicKey `json:"public_key,omitzero"`
	Addresses []netip.Addr     `json:"addresses,omitempty"`
	Allow     []tunnel.Rule    `json:"allow,omitempty"`
	Enabled   *bool            `json:"enabled,omitempty"`
	Expires   time.Time        `json:"expires,omitzero"`
	// Gateway is the one that a command was about.
	Gateway string `json:"gateway,omitempty"`
	// Count is how many peers a command was about that names none.
	Count int `json:"count,omitempty"`
}

// OpenAudit opens the log in a folder, before anything is changed: what cannot be
// written down is not done. by says who gives the commands.
func OpenAudit(logDir, by string, now func() time.Time) (*Audit, error) {
	path := filepath.Join(logDir, AuditFile)
	if err := statefile.MakeOpenFolder(logDir); err != nil {
		return nil, cannotAudit(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, cannotAudit(err)
	}
	return &Audit{file: f, by: by, now: now}, nil
}

func cannotAudit(err error) error {
	return fmt.Errorf("changes of peers are written down, and that cannot be done: %w; run this as root, or set LOG_DIR", err)
}

// Close closes the log.
func (a *Audit) Close() error { return a.file.Close() }

// Record writes down a change of a peer.
func (a *Audit) Record(command string, peer *tunnel.Peer) error {
	enabled := peer.Enabled()
	return a.append(&entry{
		Command: "peer " + command, Peer: peer.Name, PublicKey: peer.PublicKey, Addresses: peer.Addresses,
		Allow: peer.Allow, Enabled: &enabled, Expires: peer.Expires,
	})
}

// RecordImport writes down an import that has brought so many peers and ended with err, unless
// it changed nothing. It returns err, and what is wrong with the log.
func (a *Audit) RecordImport(count int, err error) error {
	if err != nil && count == 0 && !errors.Is(err, tunnel.ErrUnfinished) {
		return err
	}
	return errors.Join(err, a.append(&entry{Command: "peer import", Count: count}))
}

func (a *Audit) append(e *entry) error {
	e.Time, e.By = a.now().UTC(), a.by
	line, err := json.Marshal(e)
	if err == nil {
		// One write, so that lines of several commands never mix.
		_, err = a.file.Write(append(line, '\n'))
		err = errors.Join(err, a.file.Sync())
	}
	if err != nil {
		return fmt.Errorf("done, but not written down in %s: %w", a.file.Name(), err)
	}
	return nil
}
