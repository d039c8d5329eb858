package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"panteras/configs"
	"panteras/launcher"
	"panteras/launcher/balancer"
	"panteras/launcher/control"

	"github.com/spf13/cobra"
)

func newHAProxyCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "haproxy",
		Short: "Configure the load balancer from Consul's services",
	}
	cmd.AddCommand(newHAProxyApplyCommand(a), newHAProxyRetryCommand(a), newHAProxyReportCommand(a))
	return cmd
}

const applyHelp = `Bring a snapshot of Consul's services into effect; consul-template runs this.

The snapshot, a file or - for standard input, is rendered to haproxy.cfg and its map
files in STATE_DIR, checked by HAProxy and moved into place. A running HAProxy then
learns of changed servers through its socket, and of new services by a reload, which
the launcher does, or HAProxy itself where no launcher runs. What HAProxy does not take
leaves the last good configuration in place and running.

A snapshot that is not in effect afterwards, because something was in its way or HAProxy
does not run, is kept for "panteras haproxy retry", which the launcher runs.

With --lenient a refused snapshot is logged and the exit code is 0, because
consul-template ends when a command of its fails.`

func newHAProxyApplyCommand(a *app) *cobra.Command {
	var apply applying
	cmd := &cobra.Command{
		Use:     "apply FILE",
		Short:   "Bring a snapshot of Consul's services into effect",
		Long:    applyHelp,
		Example: "  panteras haproxy apply /run/panteras/consul-template/snapshot.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return apply.run(a, cmd, func(b *balancer.Balancer) (*balancer.Result, error) {
				text, err := readFileOrStdin(cmd, args[0])
				if err != nil {
					return nil, err
				}
				return b.Apply(cmd.Context(), text)
			})
		},
	}
	apply.flags(cmd)
	return cmd
}

const retryHelp = `Try the last snapshot again if it is not in effect; the launcher runs this.

"panteras haproxy apply" leaves such a snapshot when something was in its way that may
pass, such as a full disk or a reload that took too long, when HAProxy did not run, and
when HAProxy refused it. The launcher tries it again when HAProxy has become ready, and
otherwise after 1 s, then 2 s, up to a minute. Where nothing is to be tried, or
a snapshot is being applied, nothing is done.

With --lenient a refused snapshot is logged and the exit code is 0.`

func newHAProxyRetryCommand(a *app) *cobra.Command {
	var apply applying
	cmd := &cobra.Command{
		Use:     "retry",
		Short:   "Try the last snapshot again if it is not in effect",
		Long:    retryHelp,
		Example: "  panteras haproxy retry",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return apply.run(a, cmd, func(b *balancer.Balancer) (*balancer.Result, error) { return b.Retry(cmd.Context()) })
		},
	}
	apply.flags(cmd)
	return cmd
}

// applying is what the commands that apply snapshots have in common.
type applying struct{ lenient bool }

func (o *applying) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.lenient, "lenient", false, "exit with 0 also when the snapshot is refused")
	addSettingsFlags(cmd, configs.GroupCommon, configs.GroupTunnel, configs.GroupDaemons)
}

func (o *applying) run(a *app, cmd *cobra.Command, apply func(*balancer.Balancer) (*balancer.Result, error)) error {
	loaded, host, log := a.look(cmd)
	if err := configs.JoinErrors(loaded.Findings); err != nil {
		return &usageError{err}
	}
	result, err := apply(newBalancer(loaded, host, log))
	if err != nil && o.lenient {
		log.Error("the snapshot has no effect", "error", err)
		return nil
	}
	if err == nil && result != nil {
		logResult(log, result)
	}
	return err
}

func readFileOrStdin(cmd *cobra.Command, path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(cmd.InOrStdin())
	}
	return os.ReadFile(path)
}

// newBalancer is the balancer of this host. The launcher reloads HAProxy where it runs.
func newBalancer(loaded *configs.Loaded, host configs.HostFacts, log *slog.Logger) *balancer.Balancer {
	s := &loaded.Settings
	run := filepath.Join(s.RunDir, "haproxy")
	master := balancer.MasterSocket(filepath.Join(run, "master.sock"))
	client := control.NewClient(s.RunDir)
	return &balancer.Balancer{
		Options:  launcher.HAProxyOptions(loaded, host),
		StateDir: filepath.Join(s.StateDir, "haproxy"), RunDir: run, Master: string(master), Log: log,
		Reloader: balancer.ReloadFunc(func(ctx context.Context) error {
			_, err := client.Do(ctx, "reload", "haproxy")
			if err == nil {
				return nil
			}
			log.Warn("the launcher does not reload HAProxy, so its master is asked", "error", err)
			return master.Reload(ctx)
		}),
	}
}

func logResult(log *slog.Logger, r *balancer.Result) {
	for _, f := range r.Findings {
		log.Warn("not served as its tags say", "service", f.Service, "why", f.Message)
	}
	how := "nothing to change"
	switch {
	case !r.Running:
		how = "HAProxy does not run and will start with it"
	case r.Reloaded:
		how = "HAProxy was reloaded"
	case r.Changes > 0:
		how = "changed without a reload"
	}
	log.Info("load balancer is up to date", "backends", len(r.Backends), "how", how, "changes", r.Changes)
}

const reportHelp = `Print what HAProxy serves on this host, and what it does not and why.`

func newHAProxyReportCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Print what HAProxy serves, and what it does not and why",
		Long:  reportHelp,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, _, err := a.load(cmd)
			if err != nil {
				return err
			}
			report, _, err := balancer.ReadReport(filepath.Join(loaded.Settings.RunDir, "haproxy"))
			if err != nil {
				return fmt.Errorf("there is no report of the load balancer: %w; does consul-template run here?", err)
			}
			if asJSON {
				encoder := json.NewEncoder(a.stdout)
				encoder.SetIndent("", "  ")
				encoder.SetEscapeHTML(false)
				return encoder.Encode(report)
			}
			var text strings.Builder
			if err := report.WriteText(&text); err != nil {
				return err
			}
			return writePrintable(a.stdout, text.String())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addSettingsFlags(cmd, configs.GroupCommon, configs.GroupTunnel, configs.GroupDaemons)
	return cmd
}
