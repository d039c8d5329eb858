package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"slices"
	"syscall"
	"time"

	"panteras/configs"
	"panteras/tunnel"
	"panteras/tunnel/admin"
	"panteras/tunnel/gateway"
	"panteras/tunnel/store"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const peerHelp = `Add, list, change and remove the peers of the tunnel: devices of people, each
with a name, a key and an address of its own.

Peers are kept in Consul, or in a file in STATE_DIR (TUNNEL_STORE), and every
gateway follows them. Any host that reaches the store will do for these commands.
Every change is written down in LOG_DIR/tunnel-audit.log.`

// peerTimeout is how long a command may take.
const peerTimeout = time.Minute

func newPeerCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "peer", Short: "Add, list, change and remove the peers of the tunnel", Long: peerHelp}
	cmd.AddCommand(
		newPeerAddCommand(a), newPeerKeygenCommand(a), newPeerListCommand(a), newPeerShowCommand(a),
		newPeerDisableCommand(a), newPeerEnableCommand(a), newPeerRotateCommand(a), newPeerRemoveCommand(a),
		newPeerExportCommand(a), newPeerImportCommand(a),
	)
	return cmd
}

// shownWithPeers are the settings that matter to people who work on peers. The
// others are accepted all the same.
var shownWithPeers = []string{
	"TUNNEL_STORE", "STATE_DIR", "RUN_DIR", "LOG_DIR", "CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN_FILE", "LOG_LEVEL", "LOG_FORMAT",
}

// addPeerSettings gives a command the flags of the settings.
func addPeerSettings(cmd *cobra.Command) {
	// What the command has itself is shown.
	own := map[string]bool{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { own[f.Name] = true })
	addSettingsFlags(cmd, configs.GroupCommon, configs.GroupTunnel)
	for _, s := range configs.All() {
		if f := cmd.Flags().Lookup(s.Flag()); f != nil && !own[f.Name] {
			f.Hidden = !slices.Contains(shownWithPeers, s.Name)
		}
	}
}

// desk is where a command works on peers.
type desk struct {
	context.Context
	*configs.Settings
	store  *store.Store
	folder tunnel.Folder
	close  func()
}

// openDesk opens the store. The command closes the desk.
func (a *app) openDesk(cmd *cobra.Command) (*desk, error) {
	loaded, _, err := a.load(cmd, unusedByTunnel...)
	if err != nil {
		return nil, err
	}
	s := &loaded.Settings
	folder := tunnel.NewFolder(s.StateDir)
	peers, err := openStore(s, folder, loaded.Given("TUNNEL_STORE"))
	if err != nil {
		return nil, err
	}
	return newDesk(cmd, s, folder, peers), nil
}

func newDesk(cmd *cobra.Command, s *configs.Settings, folder tunnel.Folder, peers *store.Store) *desk {
	ctx, cancel := context.WithTimeout(cmd.Context(), peerTimeout)
	return &desk{Context: ctx, Settings: s, store: peers, folder: folder, close: cancel}
}

// withAdmin does something that changes peers. It warns where gateways do not follow: who
// takes access away must know that it goes on.
func (a *app) withAdmin(cmd *cobra.Command, do func(*desk, *admin.Admin) error) error {
	d, err := a.openDesk(cmd)
	if err != nil {
		return err
	}
	defer d.close()
	audit, err := d.openAudit()
	if err != nil {
		return err
	}
	defer audit.Close()
	defer d.endBySignal()()
	err = do(d, &admin.Admin{Store: d.store, Folder: d.folder, Audit: audit, Host: d.Hostname, Now: time.Now})
	if err != nil {
		return err
	}
	if refusal, err := d.store.Refusal(d, gateway.ClusterInForce(d.folder)); err == nil && refusal != nil {
		fmt.Fprintf(a.stderr, "warning: this is in the store, but not in force: %v\n", refusal)
	}
	return nil
}

// endBySignal lets a command that changes something come to an end that it can tell of, where
// an operator does not want to wait any longer. A second signal ends it at once.
func (d *desk) endBySignal() (stop func()) {
	ctx, stop := signal.NotifyContext(d.Context, syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	d.Context = ctx
	return stop
}

func (d *desk) openAudit() (*admin.Audit, error) {
	return admin.OpenAudit(d.LogDir, operator(d.Hostname), time.Now)
}

// operator says who gives the commands: the user, and who became that user by sudo.
func operator(host string) string {
	name := fmt.Sprint("uid ", os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if asker := os.Getenv(askerVariable); asker != "" {
		return asker + " as " + name + " on " + host
	}
	if before := os.Getenv("SUDO_USER"); before != "" && before != name {
		name = before + " as " + name
	}
	return name + " on " + host
}
