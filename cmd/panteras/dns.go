package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"panteras/configs"
	"panteras/dnsserver"
	"panteras/launcher/guard"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
)

const dnsHelp = `Serve DNS for this host and its clients.

Names of Consul (consul and CONSUL_DOMAIN, and services under HAPROXY_ADD_DOMAIN)
are asked of Consul and never cached; everything else goes to the recursors.

Signals: SIGHUP reads the settings again without losing a query; SIGTERM and
SIGINT answer what is in flight and end, a second one ends at once. Sockets
handed over by LISTEN_FDS (socket activation) are used instead of DNS_LISTEN, and
readiness is told to NOTIFY_SOCKET.`

// secondSignal is how long after the first signal to stop another one is taken for the same.
const secondSignal = 500 * time.Millisecond

func newDNSCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dns",
		Short: "Serve DNS: Consul's names from Consul, the rest from the recursors",
		Long:  dnsHelp,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			guard.EndWithLauncher()
			return a.serveDNS(cmd)
		},
	}
	addSettingsFlags(cmd, configs.GroupCommon)
	return cmd
}

func (a *app) serveDNS(cmd *cobra.Command) error {
	loaded, log, err := a.load(cmd)
	if err != nil {
		return err
	}
	server, err := dnsserver.New(&loaded.Settings, log)
	if err != nil {
		return &usageError{err}
	}
	// A log reader that goes away must not take the host's names with it: writing to it fails, and that is all.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	closeMetrics, err := serveMetrics("METRICS_LISTEN", loaded.Settings.MetricsListen, loaded, server, log)
	if err != nil {
		return err
	}
	defer closeMetrics()

	var stopping time.Time
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, func() { notify(daemon.SdNotifyReady) }) }()
	for {
		select {
		case err := <-done:
			return err
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				a.reloadServer(cmd, server)
				continue
			}
			if ctx.Err() != nil && time.Since(stopping) < secondSignal {
				continue // timeout(1) and others signal the process and its group
			}
			if ctx.Err() != nil {
				return errors.New("ended before all queries were answered: second signal")
			}
			log.Info("stopping", "signal", sig.String())
			notify(daemon.SdNotifyStopping)
			stopping = time.Now()
			cancel()
		}
	}
}

// reloadServer makes a server take over the settings as they are now; if they are bad,
// those in force stay.
func (a *app) reloadServer(cmd *cobra.Command, server interface {
	Reload(*configs.Settings) error
}, unused ...string,
) {
	notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	defer notify(daemon.SdNotifyReady)
	loaded, log, err := a.load(cmd, unused...)
	if err == nil {
		err = server.Reload(&loaded.Settings)
	}
	if err != nil {
		log.Error("reload failed", "error", err)
		return
	}
	log.Info("settings reloaded")
}

// notify tells the service manager (sd_notify(3)); without one it does nothing.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }
