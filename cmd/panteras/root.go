package main

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"

	"panteras/configs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// app is what commands share: the streams and environment they run in.
type app struct {
	env    []string
	stdout io.Writer
	stderr io.Writer
	// readHost collects the facts of the machine; nil means configs.ReadHost.
	readHost func() (configs.HostFacts, error)

	dir string // the value of --restricted
}

// commands makes the subcommands, in the order of the help text.
var commands = []func(*app) *cobra.Command{
	newUpCommand,
	newPlanCommand,
	newStatusCommand,
	newStartCommand,
	newStopCommand,
	newRestartCommand,
	newReloadCommand,
	newLogsCommand,
	newUpgradeCommand,
	newHAProxyCommand,
	newExplainCommand,
	newDNSCommand,
	newPeerCommand,
	newGatewayCommand,
	newDoctorCommand,
	newResolvConfCommand,
	newExportCommand,
	newSettingsCommand,
	newVersionCommand,
}

const rootHelp = `panteras runs one host of a Consul-based platform.

Every setting has one name, such as CONSUL_DOMAIN, and is taken from, low to
high precedence:

  default < common < host < overwrite < environment < flag

common, host and overwrite are files in the settings folder: --restricted DIR,
else ./restricted if it exists, else /etc/panteras. They hold shell assignments
(KEY=VALUE) and are read, never executed. A setting's flag is its name in kebab
case: --consul-domain. "panteras settings" shows every value and its origin.

Exit codes: 0 done, 1 failed, 2 bad usage or settings.`

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "panteras",
		Short: "Run one host of a Consul-based platform",
		Long:  rootHelp,
		// Errors are printed once, by run, and without the usage text, which
		// would push them off the screen.
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       readVersion().Version,
		// Without this cobra itself reports unknown commands, as plain errors.
		Args:                  cobra.ArbitraryArgs,
		DisableFlagsInUseLine: true,
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.PersistentFlags().StringVar(&a.dir, "restricted", "", "the `DIR` of the settings files (default ./restricted if it exists, else /etc/panteras)")
	root.SetFlagErrorFunc(flagError)
	for _, newCommand := range commands {
		root.AddCommand(newCommand(a))
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	markUsageErrors(root)
	return root
}

// suggestWithin is the edit distance up to which a similar command is suggested.
const suggestWithin = 2

// markUsageErrors makes every complaint about a command's arguments a
// usageError, so that commands may use cobra's own checks, and makes commands
// that only group others refuse what is not among them.
func markUsageErrors(cmd *cobra.Command) {
	if !cmd.Runnable() && cmd.HasSubCommands() {
		// Cobra would answer an unknown subcommand with the help text and success.
		cmd.SuggestionsMinimumDistance = suggestWithin
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		}
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usagef("%w; see %q", err, cmd.CommandPath()+" --help")
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		markUsageErrors(sub)
	}
}

func unknownCommand(parent *cobra.Command, name string) error {
	if near := parent.SuggestionsFor(name); len(near) > 0 {
		return usagef("unknown command %q; did you mean %s?", name, strings.Join(near, " or "))
	}
	return usagef("unknown command %q; see %q", name, parent.CommandPath()+" --help")
}

func flagError(cmd *cobra.Command, err error) error {
	if unknown := (*pflag.NotExistError)(nil); errors.As(err, &unknown) {
		if secret, ok := configs.SecretOfFlag(unknown.GetSpecifiedName()); ok {
			return usagef("%w: %s is a secret, and everybody on the host can read flags; set it in a settings file or in the environment", err, secret)
		}
	}
	return usagef("%w; see %q", err, cmd.CommandPath()+" --help")
}

// addSettingsFlags gives a command a flag for every setting of the groups; its RunE
// then calls app.load.
func addSettingsFlags(cmd *cobra.Command, groups ...configs.Group) {
	configs.RegisterFlags(cmd.Flags(), groups...)
}

// load reads the settings for a command and makes the logger they ask for, on
// which it logs the warnings. An error is a usageError; the settings found so far
// come with it and can only be shown. That one of unused, which the command makes no
// use of, cannot be derived is nobody's problem; that one was given and is wrong, is.
func (a *app) load(cmd *cobra.Command, unused ...string) (*configs.Loaded, *slog.Logger, error) {
	loaded, _, log := a.look(cmd)
	loaded.Findings = slices.DeleteFunc(loaded.Findings, func(f configs.Finding) bool {
		return slices.Contains(unused, f.Setting) && !loaded.Given(f.Setting)
	})
	for _, warning := range loaded.Warnings() {
		log.Warn(warning)
	}
	if err := configs.JoinErrors(loaded.Findings); err != nil {
		return loaded, log, &usageError{err}
	}
	return loaded, log, nil
}

// look is load for a command that reports the findings itself, and wants to know the
// host they are about.
func (a *app) look(cmd *cobra.Command) (*configs.Loaded, configs.HostFacts, *slog.Logger) {
	readHost := a.readHost
	if readHost == nil {
		readHost = configs.ReadHost
	}
	host, hostErr := readHost()
	// The error is among the findings.
	loaded, _ := configs.Load(configs.Sources{
		Dir:      a.dir,
		DirGiven: cmd.Flags().Changed("restricted"),
		Environ:  slices.Clone(a.env),
		Flags:    configs.ChangedFlags(cmd.Flags()),
		Host:     host,
	})
	log := newLogger(a.stderr, loaded.Settings)
	if hostErr != nil {
		log.Warn("cannot read everything about this host", "err", hostErr)
	}
	return loaded, host, log
}

// newLogger writes to stderr, because stdout belongs to the command's output.
func newLogger(w io.Writer, s configs.Settings) *slog.Logger {
	options := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogFormat == configs.LogFormatJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
