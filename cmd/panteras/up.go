package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"panteras/configs"
	"panteras/dnsserver"
	"panteras/launcher"
	"panteras/launcher/control"
	"panteras/launcher/guard"
	"panteras/launcher/host"
	"panteras/tunnel/device"

	"github.com/spf13/cobra"
)

const upHelp = `Run this host's daemons, as "panteras plan" shows them, until it is stopped.

A daemon starts when what it waits for is ready, and starts again when it ends, after
1 s to 60 s. One whose program is not installed is shown as absent, and the rest runs;
--require NAME makes that an error. "panteras status" shows what has become of them.

Signals: SIGHUP reads the settings again and restarts only what differs; SIGTERM and
SIGINT stop everything in order, Consul last; a second one kills what still runs.

The process that you start is the guard of a second one, which does the work: if
either is killed, nothing that was started is left.`

const upExample = `  panteras up
  SLAVE=false panteras up
  panteras up --restricted /etc/panteras --require consul,zookeeper`

// exitCode is an error whose reason has been told by another process.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func newUpCommand(a *app) *cobra.Command {
	var require []string
	cmd := &cobra.Command{
		Use: "up", Short: "Run this host's daemons", Long: upHelp, Example: upExample,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			link, ok := guard.Child()
			if !ok {
				if code := guard.Run(); code != exitDone {
					return exitCode(code)
				}
				return nil
			}
			return a.up(cmd, link, require)
		},
	}
	cmd.Flags().StringSliceVar(&require, "require", nil, "`DAEMONS` whose programs must be installed, separated by commas")
	addSettingsFlags(cmd, configs.GroupCommon, configs.GroupTunnel, configs.GroupDaemons)
	return cmd
}

// up is the life of the launcher.
func (a *app) up(cmd *cobra.Command, link *guard.Link, require []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find out where this program lies: %w", err)
	}
	// A console that goes away must not take the daemons with it.
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	reloads := make(chan os.Signal, 1)
	signal.Notify(reloads, syscall.SIGHUP)
	stops := make(chan os.Signal, 2)
	signal.Notify(stops, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(reloads)
	defer signal.Stop(stops)
	_, _, log := a.look(cmd)
	urgent := make(chan struct{})
	go stopBySignal(stops, cancel, urgent, log)
	build := readVersion()
	own := &commandsOfPage{self: self, env: withoutLauncher(a.env), cmd: cmd}
	err = host.Run(ctx, host.Options{
		Load: func() (*configs.Loaded, configs.HostFacts) {
			loaded, facts, log := a.look(cmd)
			for _, warning := range loaded.Warnings() {
				log.Warn(warning)
			}
			return loaded, facts
		},
		Args: os.Args, Env: withoutLauncher(a.env), Self: self, Require: require,
		Open: func(s launcher.Socket, beside bool) ([]*os.File, error) {
			if !s.TCP {
				return device.Listen(s.Addr)
			}
			return dnsserver.Open(s.Addr, beside, log)
		},
		Peers: own, Explain: own.explain,
		Link: link, Build: control.Build{Version: build.Version, Commit: build.Commit, Go: build.Go},
		Console: a.stderr, Log: log,
	}, reloads, urgent)
	if settings := (*host.SettingsError)(nil); errors.As(err, &settings) {
		return &usageError{settings}
	}
	return err
}

// stopBySignal stops in order, and at a second signal at once.
func stopBySignal(stops <-chan os.Signal, cancel func(), urgent chan struct{}, log *slog.Logger) {
	first := time.Time{}
	for sig := range stops {
		switch {
		case first.IsZero():
			log.Info("stopping", "signal", sig.String())
			first = time.Now()
			cancel()
		case time.Since(first) > secondSignal: // timeout(1) and others signal twice
			close(urgent)
			return
		}
	}
}

// withoutLauncher is an environment without what passes between processes of this
// program.
func withoutLauncher(env []string) []string {
	var list []string
	for _, e := range env {
		switch name, _, _ := strings.Cut(e, "="); name {
		case "PANTERAS_LINK", "PANTERAS_GUARD", "PANTERAS_HANDOVER":
		default:
			list = append(list, e)
		}
	}
	return list
}
