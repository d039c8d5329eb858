package main

import (
	"errors"
	"fmt"
	"os"

	"panteras/configs"
	"panteras/launcher"
	"panteras/launcher/doctor"

	"github.com/spf13/cobra"
)

const doctorHelp = `Look for what keeps panteras from doing its work on this host, and say how to mend
it: settings, who holds the port of the DNS server, resolv.conf, recursors, Consul,
missing programs, Docker, the tunnel's needs, firewalls, SELinux, the clock, and the
folders that are written to.

Each line is ok, warn or fail, with the command that mends it below. Nothing is
changed. The exit code is 1 if a line says fail.`

const doctorExample = `  sudo panteras doctor
  sudo panteras doctor --json --restricted /etc/panteras`

func newDoctorCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Look for what is wrong on this host, and say how to mend it",
		Long:    doctorHelp,
		Example: doctorExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("cannot find out where this program lies: %w", err)
			}
			loaded, host, _ := a.look(cmd)
			plan := launcher.New(loaded, launcher.Facts{Host: host, Self: self})
			facts := doctor.Collect(cmd.Context(), &loaded.Settings, plan, host.Addrs())
			report := doctor.Diagnose(&loaded.Settings, plan, facts)
			write := report.WriteText
			if asJSON {
				write = report.WriteJSON
			}
			if err := write(a.stdout); err != nil {
				return err
			}
			if report.Failed() {
				return errors.New("something is wrong with this host; see the lines that say fail")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addSettingsFlags(cmd, configs.GroupCommon, configs.GroupTunnel, configs.GroupDaemons)
	return cmd
}
