package main

import (
	"fmt"
	"os/signal"
	"syscall"

	"panteras/configs"
	"panteras/launcher"
	"panteras/launcher/control"

	"github.com/spf13/cobra"
)

// addRunDirFlag gives a command that talks to the launcher the one setting it needs.
func addRunDirFlag(cmd *cobra.Command) { configs.RegisterFlag(cmd.Flags(), "RUN_DIR") }

// client finds the launcher. Settings that are wrong do not matter here: what runs must
// be controllable all the same.
func (a *app) client(cmd *cobra.Command) *control.Client {
	loaded, _, _ := a.look(cmd)
	return control.NewClient(loaded.Settings.RunDir)
}

// interruptible ends the command's context at ctrl-C and SIGTERM.
func interruptible(cmd *cobra.Command) (stop func()) {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	cmd.SetContext(ctx)
	return stop
}

const startHelp = `Start a daemon that was stopped, has failed or waits to be started again, and wait
until it is ready.`

const stopHelp = `Stop a daemon, and wait until it is gone. It stays stopped until it is started with
"panteras start", also when settings are read again.`

const restartHelp = `Stop a daemon, start it again, and wait until it is ready.`

const reloadHelp = `Read the settings again and do what follows from them: only daemons whose arguments,
environment or files differ are restarted; HAProxy and the DNS server lose no
connection and no query. It is what SIGHUP does to the launcher.

With DAEMON only that one is told to read its settings again.`

func newStartCommand(a *app) *cobra.Command {
	return a.daemonCommand("start", "Start a daemon", startHelp)
}

func newStopCommand(a *app) *cobra.Command {
	return a.daemonCommand("stop", "Stop a daemon until it is started again", stopHelp)
}

func newRestartCommand(a *app) *cobra.Command {
	return a.daemonCommand("restart", "Stop a daemon and start it again", restartHelp)
}

func (a *app) daemonCommand(action, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use: action + " DAEMON", Short: short, Long: long,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeDaemon,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.control(cmd, action, args[0])
		},
	}
	addRunDirFlag(cmd)
	return cmd
}

func newReloadCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "reload [DAEMON]", Short: "Read the settings again, and restart only what differs", Long: reloadHelp,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeDaemon,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.control(cmd, "reload", args[0])
			}
			defer interruptible(cmd)()
			st, err := a.client(cmd).Reload(cmd.Context())
			if err != nil {
				return err
			}
			return a.writeStatus(hostStatus{Status: st})
		},
	}
	addRunDirFlag(cmd)
	return cmd
}

// control does an action to a daemon and says what came of it.
func (a *app) control(cmd *cobra.Command, action, daemon string) error {
	defer interruptible(cmd)()
	d, err := a.client(cmd).Do(cmd.Context(), action, daemon)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s: %s", d.Name, d.State)
	if d.Pid > 0 {
		text += fmt.Sprintf(" (pid %d)", d.Pid)
	}
	_, err = fmt.Fprintln(a.stdout, text)
	return err
}

// completeDaemon completes the names of daemons in a shell.
func (a *app) completeDaemon(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if len(args) == 0 {
		st, err := a.client(cmd).Status(cmd.Context())
		if err == nil {
			for _, d := range st.Daemons {
				if d.State != launcher.StateDisabled {
					names = append(names, d.Name)
				}
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
