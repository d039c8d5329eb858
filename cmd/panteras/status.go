package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"panteras/configs/haproxy"
	"panteras/launcher"
	"panteras/launcher/balancer"
	"panteras/launcher/control"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

const statusHelp = `Print the state of every daemon of this host, since when, and what it waits for.

States: ready (does its work), starting (runs, is not ready yet), waiting (for other
daemons), unhealthy (runs, but fails its probe), backoff (ended, starts again at the
time shown), failed (ended for a reason that no restart can mend), stopping, stopped
(by an operator), absent (its program is not installed), disabled (not for this host).
Daemons that do not stay up are shown with their last lines of output. On a host with
HAProxy the list is followed by what is not served as its tags say, and why.

The exit code is 1 when no launcher runs, and with --check also when a daemon is
neither ready nor disabled, absent or stopped.`

const statusExample = `  panteras status
  panteras status --watch
  panteras status --check
  panteras status --json | jq -r '.daemons[] | select(.ready | not) | .name'`

// watchInterval is how often --watch asks.
const watchInterval = time.Second

func newStatusCommand(a *app) *cobra.Command {
	var asJSON, watch, check bool
	cmd := &cobra.Command{
		Use: "status", Short: "Print the state of every daemon", Long: statusHelp, Example: statusExample,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if watch && check {
				return usagef("--check is about one moment, and --watch goes on; leave one of them out")
			}
			defer interruptible(cmd)()
			show := a.writeStatus
			if asJSON {
				show = a.writeStatusJSON
			}
			loaded, _, _ := a.look(cmd)
			source := &statusSource{control.NewClient(loaded.Settings.RunDir), filepath.Join(loaded.Settings.RunDir, "haproxy")}
			st, err := source.read(cmd.Context())
			if err != nil {
				return err
			}
			if !watch {
				if err := show(st); err != nil || !check {
					return err
				}
				return checkReady(st.Status)
			}
			return a.watch(cmd.Context(), source, st, asJSON, show)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, until ctrl-C: on a terminal every second, otherwise whenever something has changed")
	cmd.Flags().BoolVar(&check, "check", false, "exit with 1 unless all that should run is ready")
	addRunDirFlag(cmd)
	return cmd
}

// hostStatus is what `panteras status` shows of a host.
type hostStatus struct {
	launcher.Status
	// Balancer is what HAProxy serves, and what it does not and why; nil where no HAProxy
	// runs or nothing is known of it yet.
	Balancer *haproxy.Report `json:"balancer,omitempty"`
}

// statusSource is where the status of a host is read.
type statusSource struct {
	client *control.Client
	report string // the folder of the balancer's report
}

func (s *statusSource) read(ctx context.Context) (hostStatus, error) {
	st, err := s.client.Status(ctx)
	if err != nil {
		return hostStatus{}, err
	}
	status := hostStatus{Status: st}
	if slices.ContainsFunc(st.Daemons, func(d launcher.DaemonStatus) bool { return d.Name == "haproxy" && d.State != launcher.StateDisabled }) {
		// Without a report consul-template has not applied anything yet, which its state tells.
		status.Balancer, _, _ = balancer.ReadReport(s.report)
	}
	return status, nil
}

// key is the same as long as there is nothing new to show.
func (s hostStatus) key() string {
	if s.Balancer == nil {
		return fmt.Sprint(s.Status)
	}
	return fmt.Sprint(s.Status, *s.Balancer)
}

// clearScreen moves a terminal to its upper left corner and clears it.
const clearScreen = "\x1b[H\x1b[2J\x1b[3J"

// watch shows the status again and again. A launcher that does not answer, as in an
// upgrade, is waited for.
func (a *app) watch(ctx context.Context, source *statusSource, st hostStatus, asJSON bool, show func(hostStatus) error) error {
	_, terminal := terminalWidth(a.stdout)
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	var err error
	for shown := ""; ; {
		key := fmt.Sprint(st.key(), err)
		if terminal && !asJSON {
			fmt.Fprint(a.stdout, clearScreen)
		}
		if terminal && !asJSON || key != shown {
			shown = key
			if err != nil {
				fmt.Fprintf(a.stderr, "panteras: %v\n", err)
			} else if showErr := show(st); showErr != nil {
				return showErr
			} else if !terminal && !asJSON {
				fmt.Fprintln(a.stdout)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if st, err = source.read(ctx); errors.Is(err, context.Canceled) {
			return nil
		}
	}
}

// writeStatusJSON prints {"daemons":[…]} as docs/api.md has it, and "balancer".
func (a *app) writeStatusJSON(st hostStatus) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(st)
}

// writeStatus prints a table for people.
func (a *app) writeStatus(st hostStatus) error {
	width, _ := terminalWidth(a.stdout)
	text := statusTable(st.Status, time.Now(), width)
	if st.Balancer != nil {
		text += balancerText(st.Balancer, time.Now(), width)
	}
	_, err := io.WriteString(a.stdout, text)
	return err
}

// terminalWidth is how many characters fit a line, and whether w is a terminal.
func terminalWidth(w io.Writer) (columns int, terminal bool) {
	const otherwise = 120
	f, ok := w.(*os.File)
	if !ok {
		return otherwise, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return otherwise, false
	}
	if size.Col == 0 {
		return otherwise, true
	}
	return int(size.Col), true
}

// statusTable is the table at the time now, at most width characters wide where that
// leaves room for anything.
func statusTable(st launcher.Status, now time.Time, width int) string {
	rows := [][]string{{"DAEMON", "STATE", "SINCE", "PID", "RESTARTS", ""}}
	var output [][]string // below each row
	var disabled []string
	output = append(output, nil)
	for _, d := range st.Daemons {
		if d.State == launcher.StateDisabled {
			disabled = append(disabled, d.Name)
			continue
		}
		pid := "-"
		if d.Pid > 0 {
			pid = fmt.Sprint(d.Pid)
		}
		rows = append(rows, []string{d.Name, string(d.State), age(now.Sub(d.Since)), pid, fmt.Sprint(d.Restarts), note(d, now)})
		output = append(output, d.Output)
	}
	widths := make([]int, 5)
	for _, row := range rows {
		for i := range widths {
			widths[i] = max(widths[i], len(row[i]))
		}
	}
	var b strings.Builder
	for i, row := range rows {
		line := ""
		for column, w := range widths {
			line += fmt.Sprintf("%-*s  ", w, row[column])
		}
		writeFolded(&b, line, row[5], width)
		for _, text := range output[i] {
			b.WriteString(clip("    | "+text, width) + "\n")
		}
	}
	if len(disabled) > 0 {
		writeFolded(&b, "not on this host: ", strings.Join(disabled, ", "), width)
	}
	return b.String()
}
