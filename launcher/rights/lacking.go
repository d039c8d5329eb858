package rights

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"panteras/configs"
	"panteras/internal/consulclient"
	"panteras/launcher"
)

// patience bounds the question to Consul.
const patience = 10 * time.Second

// Lacking asks Consul which of some rights the token lacks. The error says why that cannot
// be told. A Consul without ACLs lets everybody do everything.
func Lacking(ctx context.Context, s *configs.Settings, needed []Right) ([]Right, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var accesses []consulclient.Access
	for _, r := range needed {
		accesses = append(accesses, r.access())
	}
	denied, err := consulclient.Denied(ctx, s, accesses)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(needed), func(r Right) bool { return !slices.Contains(denied, r.access()) }), nil
}

// Needed are the rights that what a plan runs needs on this host.
func Needed(s *configs.Settings, daemons []launcher.Daemon) []Right {
	return append(Registering(s, daemons), Working(s, daemons, peersInConsul(s))...)
}

// peersInConsul tells where the gateway keeps its peers: where it kept them first, which
// it remembers, or else where TUNNEL_STORE says.
func peersInConsul(s *configs.Settings) bool {
	choice := s.TunnelStore
	if text, err := os.ReadFile(filepath.Join(s.StateDir, "tunnel", "store")); err == nil {
		choice = strings.TrimSpace(string(text))
	}
	return choice == configs.TunnelStoreConsul
}

// Watch tells an operator which rights are missing for what daemons do, when that changes.
// Those to register are told by who registers. It is for one goroutine.
type Watch struct {
	log  *slog.Logger
	told []string
}

// NewWatch makes one that has told nothing yet.
func NewWatch(log *slog.Logger) *Watch { return &Watch{log: log} }

// Look asks Consul. If it does not tell, what was told last stays: that it does not answer
// is for others to say.
func (w *Watch) Look(ctx context.Context, s *configs.Settings, daemons []launcher.Daemon) {
	lacking, err := Lacking(ctx, s, Working(s, daemons, peersInConsul(s)))
	if err != nil {
		return
	}
	var texts []string
	for _, r := range lacking {
		texts = append(texts, r.Lacks()+"; add to its policy: "+r.Rule())
	}
	for _, text := range texts {
		if !slices.Contains(w.told, text) {
			w.log.Warn("rights in Consul", "problem", text)
		}
	}
	if len(texts) == 0 && len(w.told) > 0 {
		w.log.Info("the token has all rights in Consul that this host needs")
	}
	w.told = texts
}
