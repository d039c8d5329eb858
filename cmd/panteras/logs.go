package main

import (
	"encoding/json"
	"fmt"

	"panteras/launcher/logs"

	"github.com/spf13/cobra"
)

const logsHelp = `Print the last lines that a daemon wrote, and with -f every new one until ctrl-C.

The launcher keeps up to 1000 lines of each daemon in memory; older ones are in
LOG_DIR, in the file DAEMON.log and its predecessors.`

const logsExample = `  panteras logs consul
  panteras logs -f -n 20 haproxy
  panteras logs --json marathon`

func newLogsCommand(a *app) *cobra.Command {
	var follow, asJSON bool
	var n int
	cmd := &cobra.Command{
		Use: "logs DAEMON", Short: "Print what a daemon wrote, and follow it", Long: logsHelp, Example: logsExample,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeDaemon,
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 0 {
				return usagef("-n %d is not a number of lines", n)
			}
			defer interruptible(cmd)()
			encoder := json.NewEncoder(a.stdout)
			return a.client(cmd).Logs(cmd.Context(), args[0], n, follow, func(line logs.Line) error {
				if asJSON {
					return encoder.Encode(line)
				}
				_, err := fmt.Fprintln(a.stdout, line)
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with every new line until ctrl-C")
	cmd.Flags().IntVarP(&n, "lines", "n", 100, "how many of the last lines to print")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object a line")
	addRunDirFlag(cmd)
	return cmd
}
