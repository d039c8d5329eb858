package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"panteras/configs"
	"panteras/internal/holder"
	"panteras/launcher"

	"github.com/spf13/cobra"
)

const planHelp = `Print what this host would run, without running or changing anything.

The role (MASTER, SLAVE, EDGE) and the switches START_… decide which daemons run.
For each the plan says because of which setting it runs or not, as which user, with
which exact arguments, environment and files, what it waits for, how to tell that it
is ready and how it is stopped. It needs no root.

Everything that is wrong with the settings is reported at once. The plan is printed
all the same; with an error the exit code is 2. Secrets are shown as ********.`

const planExample = `  panteras plan
  panteras plan --files --restricted /etc/panteras
  SLAVE=false panteras plan --json`

func newPlanCommand(a *app) *cobra.Command {
	var asJSON, files bool
	cmd := &cobra.Command{
		Use:     "plan",
		Short:   "Print what this host would run, and why",
		Long:    planHelp,
		Example: planExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON && files {
				return usagef("--json and --files exclude each other: JSON always holds the files")
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("cannot find out where this program lies: %w", err)
			}
			loaded, host, log := a.look(cmd)
			plan := launcher.New(loaded, launcher.Facts{Host: host, Self: self, Taken: a.taken(cmd)})
			if asJSON {
				encoder := json.NewEncoder(a.stdout)
				encoder.SetIndent("", "  ")
				encoder.SetEscapeHTML(false)
				err = encoder.Encode(plan)
			} else {
				err = plan.WriteText(a.stdout, files)
			}
			if err != nil {
				return err
			}
			for _, f := range plan.Findings {
				if f.Level == configs.LevelWarning {
					log.Warn(f.Message)
				}
			}
			if err := plan.Err(); err != nil {
				return &usageError{err}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&files, "files", false, "print the contents of files")
	addSettingsFlags(cmd, configs.GroupCommon, configs.GroupTunnel, configs.GroupDaemons)
	return cmd
}

// taken tells who holds a port of this host; nil where the launcher runs, whose daemons
// hold them.
func (a *app) taken(cmd *cobra.Command) func(string, netip.AddrPort) string {
	if a.readHost != nil { // another machine's facts
		return nil
	}
	if _, err := a.client(cmd).Status(cmd.Context()); err == nil {
		return nil
	}
	return func(network string, at netip.AddrPort) string {
		var names []string
		for _, h := range holder.Find(at, network) {
			names = append(names, h.String())
		}
		return strings.Join(names, ", ")
	}
}
