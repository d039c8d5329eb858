package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"panteras/configs"
	"panteras/launcher/guard"
	"panteras/tunnel"
	"panteras/tunnel/gateway"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
)

const gatewayHelp = `Run this host's end of the tunnel: workstations that join with a client file
(panteras peer add) reach the names and services of the platform through it.

It makes the WireGuard interface TUNNEL_INTERFACE and one nftables table, "inet
panteras", and follows the peers in the store. Both are gone when it ends.
Peers may ask the DNS server (panteras dns) at the gateway's tunnel address; run
it with DNS_LISTEN unset, or with that address in it.

UDP sockets that were handed over (LISTEN_FDS) are used for the tunnel if they are
of TUNNEL_PORT and this program encrypts, not the kernel.

Signals: SIGHUP reads the settings again while the tunnel goes on; SIGTERM and
SIGINT end it. SIGUSR1 ends it for a restart: the rules stay in force, and with
them the connections of peers. Readiness is told to NOTIFY_SOCKET.`

func newGatewayCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Run the gateway of the tunnel",
		Long:  gatewayHelp,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			guard.EndWithLauncher()
			return a.runGateway(cmd)
		},
	}
	addSettingsFlags(cmd, configs.GroupCommon, configs.GroupTunnel)
	cmd.AddCommand(newGatewayKeyCommand(a), newGatewayForgetCommand(a))
	return cmd
}

func (a *app) runGateway(cmd *cobra.Command) error {
	loaded, log, err := a.load(cmd, unusedByTunnel...)
	if err != nil {
		return err
	}
	s := &loaded.Settings
	if s.TunnelEndpoint == "" {
		return usagef("TUNNEL_ENDPOINT is not set: say which host[:port] clients are to dial, such as gw.example.com:51820")
	}
	folder := tunnel.NewFolder(s.StateDir)
	peers, err := openStore(s, folder, loaded.Given("TUNNEL_STORE"))
	if err != nil {
		return err
	}
	g := gateway.New(gateway.Options{Settings: s, Store: peers, Folder: folder, Sockets: activation.Files(true), Log: log})
	following := followingGateway{g, peers, folder}
	signal.Ignore(syscall.SIGPIPE) // a log reader that goes away must not take the tunnel with it
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1)
	defer signal.Stop(signals)
	closeMetrics, err := serveMetrics("TUNNEL_METRICS_LISTEN", s.TunnelMetricsListen, loaded, g, log)
	if err != nil {
		return err
	}
	defer closeMetrics()
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx, func() { notify(daemon.SdNotifyReady) }) }()
	for {
		select {
		case err := <-done:
			return err
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				go a.reloadServer(cmd, following, unusedByTunnel...)
				continue
			}
			log.Info("stopping", "signal", sig.String())
			g.LeaveRules(sig == syscall.SIGUSR1)
			notify(daemon.SdNotifyStopping)
			cancel()
		}
	}
}

func newGatewayKeyCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Print the gateway's public key, and make the private one if there is none",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, _, err := a.load(cmd, unusedByTunnel...)
			if err != nil {
				return err
			}
			key, err := tunnel.NewFolder(loaded.Settings.StateDir).PrivateKey()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, key.Public())
			return err
		},
	}
	addSettingsFlags(cmd, configs.GroupCommon, configs.GroupTunnel)
	return cmd
}
