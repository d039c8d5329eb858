package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"panteras/tunnel"
	"panteras/tunnel/admin"

	"github.com/spf13/cobra"
)

const peerListHelp = `List the peers. Handshakes, bytes and endpoints are those of the gateway on this
host; on other hosts they are not known.`

func newPeerListCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the peers", Long: peerListHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			peers, list, err := a.listPeers(cmd)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.stdout, list)
			}
			return printPeers(a.stdout, peers, list)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addPeerSettings(cmd)
	return cmd
}

// listPeers reads the store and asks the gateway of this host. What cannot be read
// is logged, and does not hide the rest.
func (a *app) listPeers(cmd *cobra.Command) ([]tunnel.Peer, []admin.Listed, error) {
	d, err := a.openDesk(cmd)
	if err != nil {
		return nil, nil, err
	}
	defer d.close()
	log := newLogger(a.stderr, *d.Settings)
	snap, err := d.store.Read(d)
	if err != nil {
		return nil, nil, err
	}
	for _, broken := range snap.Broken {
		log.Warn("an entry of the store cannot be read", "error", broken.Err)
	}
	status, err := admin.ReadStatus(d, tunnel.StatusSocket(d.RunDir, d.StateDir))
	if err != nil {
		log.Warn("no state of the tunnels", "error", err)
	}
	return snap.Peers, admin.List(snap.Peers, status), nil
}

func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// printPeers writes a table for people.
func printPeers(w io.Writer, peers []tunnel.Peer, list []admin.Listed) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tADDRESSES\tSTATE\tEXPIRES\tLAST HANDSHAKE\tRECEIVED\tSENT\tENDPOINT")
	now := time.Now()
	for i, l := range list {
		endpoint := "-"
		if l.Endpoint != nil {
			endpoint = l.Endpoint.String()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", l.Name, addressText(&peers[i]), stateOf(&peers[i], now), timeText(l.Expires), timeText(l.LastHandshake), l.RxBytes, l.TxBytes, endpoint)
	}
	return table.Flush()
}

func addressText(p *tunnel.Peer) string {
	texts := make([]string, len(p.Addresses))
	for i, a := range p.Addresses {
		texts[i] = a.String()
	}
	return strings.Join(texts, ",")
}

// stateOf is one word for whether a peer has access.
func stateOf(p *tunnel.Peer, now time.Time) string {
	switch {
	case p.Disabled:
		return "disabled"
	case p.Expired(now):
		return "expired"
	}
	return "enabled"
}

func timeText(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format(time.RFC3339)
}
