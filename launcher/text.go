package launcher

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"panteras/configs"
)

// width is how wide the text of a plan is at most, unless one word is wider.
const width = 120

// WriteText writes the plan for people: a table of all daemons, then the details of
// those that run, with the contents of their files if asked for.
func (p *Plan) WriteText(w io.Writer, contents bool) error {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DAEMON\tRUNS\tUSER\tWAITS FOR\tBECAUSE")
	for _, d := range p.Daemons {
		d = p.masked(d)
		runs, after := "no", "-"
		if d.Run {
			runs = "yes"
		}
		if len(d.After) > 0 {
			after = strings.Join(d.After, ", ")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", d.Name, runs, d.User, after, d.Because)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, d := range p.Daemons {
		if d.Run {
			writeDaemon(&text, p.masked(d), contents)
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func writeDaemon(w *strings.Builder, d Daemon, contents bool) {
	fmt.Fprintf(w, "\n%s\n", d.Name)
	var argv []string
	for _, word := range d.Argv {
		argv = append(argv, configs.QuoteWord(word))
	}
	writeWrapped(w, "argv", argv, " \\")
	var env []string
	for _, name := range slices.Sorted(maps.Keys(d.Env)) {
		env = append(env, name+"="+configs.QuoteWord(d.Env[name]))
	}
	writeWrapped(w, "env", env, "")
	for _, f := range d.Files {
		keep := ""
		if f.Keep {
			keep = ", unless it is there"
		}
		fmt.Fprintf(w, "  %-6s%s (%s%s)\n", "file", f.Path, f.Mode, keep)
		if contents {
			for line := range strings.Lines(f.Content) {
				fmt.Fprintf(w, "        | %s\n", strings.TrimSuffix(line, "\n"))
			}
		}
	}
	if d.Watch.Daemon != "" {
		fmt.Fprintf(w, "  %-6s%s (tells whether %s does its work)\n", "file", d.Watch.Path, d.Watch.Daemon)
	}
	fmt.Fprintf(w, "  %-6s%s\n", "ready", d.Probe)
	fmt.Fprintf(w, "  %-6s%s, SIGKILL after %d s\n", "stop", d.Stop.Signal, d.Stop.GraceSeconds)
}

// writeWrapped writes words behind a label, on as many lines as they need; mark ends
// the lines that another one follows.
func writeWrapped(w *strings.Builder, label string, words []string, mark string) {
	line := fmt.Sprintf("  %-6s", label)
	const indent = "          "
	empty := true
	for _, word := range words {
		if !empty && len(line)+1+len(word)+len(mark) > width {
			w.WriteString(line + mark + "\n")
			line, empty = indent, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	w.WriteString(line + "\n")
}

// String is the probe as a phrase.
func (p Probe) String() string {
	switch p.Kind {
	case ProbeHTTP:
		text := "when " + p.URL + " answers"
		if p.Expect != "" {
			text += fmt.Sprintf(" with %q in it", p.Expect)
		}
		return text
	case ProbeTCP:
		return "when " + p.Address + " accepts connections"
	case ProbeZooKeeper:
		return "when srvr at " + p.Address + " tells its mode"
	case ProbeNotify:
		return "when it says so (sd_notify)"
	}
	return "as soon as it runs"
}
