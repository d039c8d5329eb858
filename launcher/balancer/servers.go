package balancer

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
)

// live is a server as the running HAProxy has it.
type live struct {
	weight, maxconn int
	ready           bool
}

// servers are all servers of services in a running HAProxy, by backend and name.
func (c cli) servers() (map[string]map[string]*live, error) {
	states, err := c.ask("show servers state")
	if err != nil {
		return nil, err
	}
	all, err := parseStates(states)
	if err != nil {
		return nil, err
	}
	stats, err := c.ask("show stat -1 4 -1") // servers only
	if err != nil {
		return nil, err
	}
	return all, addLimits(all, stats)
}

// parseStates reads the table of "show servers state", version 1.
func parseStates(text string) (map[string]map[string]*live, error) {
	all := map[string]map[string]*live{}
	const backend, name, admin, weight, columns = 1, 3, 6, 7, 8
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < columns || f[0] == "#" {
			continue
		}
		w, err := strconv.Atoi(f[weight])
		if err != nil {
			return nil, fmt.Errorf("show servers state: %q is no weight", f[weight])
		}
		if all[f[backend]] == nil {
			all[f[backend]] = map[string]*live{}
		}
		all[f[backend]][f[name]] = &live{weight: w, ready: f[admin] == "0"}
	}
	return all, nil
}

// addLimits reads maxconn from the CSV of "show stat".
func addLimits(all map[string]map[string]*live, text string) error {
	if text == "" {
		return nil
	}
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# ")))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		return fmt.Errorf("show stat: %w", err)
	}
	const backend, name, limit = 0, 1, 6
	for _, row := range rows[1:] {
		if len(row) <= limit {
			continue
		}
		if s := all[row[backend]][row[name]]; s != nil && row[limit] != "" { // no limit is empty
			if s.maxconn, err = strconv.Atoi(row[limit]); err != nil {
				return fmt.Errorf("show stat: %q is no maxconn", row[limit])
			}
		}
	}
	return nil
}
