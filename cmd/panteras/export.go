package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"panteras/configs"
	"panteras/internal/resolv"
	"panteras/launcher"
	"panteras/launcher/export"

	"github.com/spf13/cobra"
)

const exportHelp = `Print what starts "panteras up" at boot: a file for Docker Compose, or a unit for
systemd. Nothing is written or started.

The text refers to the settings folder, and repeats settings that were given in the
environment or by flags. Secrets are never in it.`

func newExportCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print a compose file or a systemd unit that runs this host",
		Long:  exportHelp,
	}
	cmd.AddCommand(
		a.exportTo("compose", "Print a file for Docker Compose", "  panteras export compose > compose.yaml && docker compose up -d", export.Compose),
		a.exportTo("systemd", "Print a unit for systemd", "  panteras export systemd > /etc/systemd/system/panteras.service && systemctl daemon-reload", export.Systemd))
	return cmd
}

func (a *app) exportTo(name, short, example string, text func(*configs.Loaded, *launcher.Plan, export.Facts) string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     name,
		Short:   short,
		Long:    short + ".\n\n" + exportHelp,
		Example: example,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("cannot find out where this program lies: %w", err)
			}
			loaded, host, log := a.look(cmd)
			plan := launcher.New(loaded, launcher.Facts{Host: host, Self: self})
			for _, f := range plan.Findings {
				if f.Level == configs.LevelWarning {
					log.Warn(f.Message)
				}
			}
			// A file made from wrong settings would only fail later, at boot.
			if err := plan.Err(); err != nil {
				return &usageError{err}
			}
			facts, err := exportFacts(self, loaded.Dir)
			if err != nil {
				return err
			}
			_, err = io.WriteString(a.stdout, text(loaded, plan, facts))
			return err
		},
	}
	addSettingsFlags(cmd, configs.GroupCommon, configs.GroupTunnel, configs.GroupDaemons)
	return cmd
}

func exportFacts(self, dir string) (export.Facts, error) {
	f := export.Facts{Self: self}
	folder, err := filepath.Abs(dir)
	if err != nil {
		return f, err
	}
	if info, err := os.Stat(folder); err == nil && info.IsDir() {
		f.Folder = folder
	}
	if _, err := os.Stat(resolv.Copy); err == nil {
		f.ResolvCopy = true
	}
	if docker, err := exec.LookPath("docker"); err == nil {
		f.Docker = docker
	}
	return f, nil
}
