package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"panteras/launcher/control"

	"github.com/spf13/cobra"
)

const upgradeHelp = `Replace the running launcher by another build, without restarting a daemon.

The launcher executes the program at PATH in its own place, by default this very
program, and takes over everything that runs. The DNS server and the gateway are
restarted with the new program; their sockets stay open, so no query is lost.`

const upgradeExample = `  install -m 755 panteras-new /usr/local/bin/panteras && panteras upgrade
  panteras upgrade /opt/panteras/v2/panteras`

// upgradeTimeout is how long the new program may take to answer.
const upgradeTimeout = 60 * time.Second

func newUpgradeCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "upgrade [PATH]", Short: "Replace the running launcher by another build", Long: upgradeHelp, Example: upgradeExample,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := os.Executable()
			if len(args) == 1 {
				path, err = filepath.Abs(args[0])
			}
			if err != nil {
				return fmt.Errorf("cannot find out the full path of the new program: %w", err)
			}
			defer interruptible(cmd)()
			return a.upgrade(cmd.Context(), a.client(cmd), path)
		},
	}
	addRunDirFlag(cmd)
	return cmd
}

func (a *app) upgrade(ctx context.Context, client *control.Client, path string) error {
	before, err := client.Instance(ctx)
	if err != nil {
		return err
	}
	if err := client.Upgrade(ctx, path); err != nil {
		// The launcher may have begun its new life before it answered.
		if now, lookErr := client.Instance(ctx); lookErr != nil || now.ID == before.ID {
			return err
		}
	}
	after, err := otherInstance(ctx, client, before)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "upgraded from %s to %s (pid %d)\n", before.Version, after.Version, after.Pid)
	return err
}

// endedAfter is how long nothing may listen at the control socket, which stays open while
// a launcher becomes another program.
const endedAfter = 3 * time.Second

// otherInstance waits for another life of the launcher than the one before.
func otherInstance(ctx context.Context, client *control.Client, before control.Instance) (control.Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, upgradeTimeout)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	answered := time.Now()
	for {
		now, err := client.Instance(ctx)
		if err == nil && now.ID != before.ID {
			return now, nil
		}
		if !errors.Is(err, control.ErrNotRunning) {
			answered = time.Now()
		} else if time.Since(answered) > endedAfter {
			return now, errors.New("the launcher has ended instead of going on as the new program, and with it all daemons; its output says why. Start it with `panteras up`")
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if err == nil || errors.Is(err, context.DeadlineExceeded) {
				err = errors.New("it is still the same program")
			}
			return now, fmt.Errorf("the launcher was asked to upgrade, but no new one answered within %v: %w; see its output", upgradeTimeout, err)
		}
	}
}
