package haproxy

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// State tells whether HAProxy serves something else than the last snapshot, and why; "" if
// it does not.
func (r *Report) State() string {
	switch {
	case r.Broken && r.Pending:
		return "as it was before, because the last snapshot was refused: " + r.Refused + "; the one before it is not in effect either, and is tried again"
	case r.Refused != "" && r.Pending:
		return "as it was before, because the last snapshot was refused, and is tried again: " + r.Refused
	case r.Refused != "":
		return "as it was before, because the last snapshot was refused: " + r.Refused
	case r.Pending:
		return "HAProxy did not run or not answer when it was to be told of this; it is told when it does"
	}
	return ""
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var text strings.Builder
	if !r.Applied.IsZero() {
		fmt.Fprintf(&text, "applied %s", r.Applied.Format(time.RFC3339))
		if !r.Reloaded.IsZero() {
			fmt.Fprintf(&text, ", HAProxy reloaded %s", r.Reloaded.Format(time.RFC3339))
		}
		text.WriteString("\n")
	}
	if state := r.State(); state != "" {
		text.WriteString(state + "\n")
	}
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVICE\tSERVERS\tREACHED AT")
	for i := range r.Backends {
		b := &r.Backends[i]
		fmt.Fprintf(table, "%s\t%d\t%s\n", b.Service, len(b.Servers), strings.Join(b.Entrances(), " "))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&text, "\n%s: %s", f.Service, f.Message)
	}
	if len(r.Findings) > 0 {
		text.WriteString("\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// Entrances are the hosts, paths and the port at which the backend is reached.
func (b *Backend) Entrances() []string {
	if b.Port != 0 {
		return []string{fmt.Sprintf("tcp:%d", b.Port)}
	}
	list := append([]string{}, b.Hosts...)
	for _, path := range b.Paths {
		list = append(list, "*"+path)
	}
	return list
}
