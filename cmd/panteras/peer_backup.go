package main

import (
	"fmt"
	"io"
	"os"

	"panteras/tunnel"
	"panteras/tunnel/store"

	"github.com/spf13/cobra"
)

const peerExportHelp = `Write everything that the store holds, for a backup or to move it. It holds no
secrets. The gateway's own keys are files: copy tunnel/gateway.key, and
tunnel/preshared.key if there is one, in STATE_DIR as well.`

const peerImportHelp = `Put a backup into the store: "-" reads it from the standard input. What is there
already and equal stays; anything else in the way is an error before anything is
changed, so an import that was cut off may be run again. Where the store was wiped,
gateways have the peers in force when all of them are there, and what they had until then.

With --tunnel-store it moves this host to another store; a gateway that runs here
follows the old one until it is started again.`

func newPeerExportCommand(a *app) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "export", Short: "Write everything that the store holds, for a backup", Long: peerExportHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := a.openDesk(cmd)
			if err != nil {
				return err
			}
			defer d.close()
			backup, err := d.store.Export(d)
			if err != nil {
				return err
			}
			if output != "" && output != "-" {
				return createNew(output, backup.Encode())
			}
			_, err = a.stdout.Write(backup.Encode())
			return err
		},
	}
	cmd.Flags().StringVar(&output, "output", "", "write into `FILE` instead of printing")
	addPeerSettings(cmd)
	return cmd
}

func newPeerImportCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Put a backup into the store", Long: peerImportHelp, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			backup, err := readBackup(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			d, before, choice, err := a.openDeskToMove(cmd)
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
			n, err := d.store.Import(d, backup)
			if n > 0 {
				fmt.Fprintf(a.stderr, "imported %d of %d peers\n", n, len(backup.Peers))
			}
			if err := audit.RecordImport(n, err); err != nil {
				return err
			}
			if err := store.Remember(d.folder, choice); err != nil {
				return err
			}
			if before != "" && before != choice {
				fmt.Fprintf(a.stderr, "the peers of this host are kept in %s now, no more in %s: restart its gateway if it has one (panteras restart tunnel), which follows %[2]s until then\n", choice, before)
			}
			return nil
		},
	}
	addPeerSettings(cmd)
	return cmd
}

func readBackup(stdin io.Reader, path string) (*store.Backup, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = io.ReadAll(stdin)
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	backup, err := store.ParseBackup(text)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be imported: %w", path, err)
	}
	return backup, nil
}

// openDeskToMove opens the store that was named, whichever the host used before.
func (a *app) openDeskToMove(cmd *cobra.Command) (d *desk, before, choice store.Choice, err error) {
	loaded, _, err := a.load(cmd, unusedByTunnel...)
	if err != nil {
		return nil, "", "", err
	}
	folder := tunnel.NewFolder(loaded.Settings.StateDir)
	before, err = store.Remembered(folder)
	if err != nil {
		return nil, "", "", err
	}
	if choice = before; choice == "" || loaded.Given("TUNNEL_STORE") {
		choice = store.Choice(loaded.Settings.TunnelStore)
	}
	peers, err := openChosen(&loaded.Settings, folder, choice)
	if err != nil {
		return nil, "", "", err
	}
	return newDesk(cmd, &loaded.Settings, folder, peers), before, choice, nil
}
