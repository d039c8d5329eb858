package haproxy

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var text strings.Builder
	if r.Refused != "" {
		fmt.Fprintf(&text, "The last snapshot has no effect: %s\n\n", r.Refused)
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
