package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"panteras/tunnel"
	"panteras/tunnel/admin"

	"github.com/spf13/cobra"
)

func newPeerShowCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show everything about a peer", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			peers, list, err := a.listPeers(cmd)
			if err != nil {
				return err
			}
			for i := range peers {
				if peers[i].Name != args[0] {
					continue
				}
				if asJSON {
					return writeJSON(a.stdout, shown{Listed: list[i], Gateway: peers[i].Gateway, Allow: peers[i].Allow, PresharedKey: peers[i].Preshared != nil, Created: peers[i].Created, Changed: peers[i].Changed})
				}
				return printPeer(a.stdout, &peers[i], &list[i])
			}
			return fmt.Errorf("%s: %w", args[0], tunnel.ErrNoPeer)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addPeerSettings(cmd)
	return cmd
}

// shown is a peer with what `peer list` leaves out.
type shown struct {
	admin.Listed
	Gateway      string        `json:"gateway"`
	Allow        []tunnel.Rule `json:"allow"`
	PresharedKey bool          `json:"preshared_key"`
	Created      time.Time     `json:"created"`
	Changed      time.Time     `json:"changed"`
}

func printPeer(w io.Writer, p *tunnel.Peer, l *admin.Listed) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(table, "%s\t%v\n", name, value) }
	row("name", p.Name)
	row("state", stateOf(p, time.Now()))
	row("public key", p.PublicKey)
	for _, a := range p.Addresses {
		row("address", a)
	}
	row("gateway", visible(p.Gateway))
	if len(p.Allow) == 0 {
		row("may reach", "all that the gateway routes")
	}
	for _, r := range p.Allow {
		row("may reach", r)
	}
	row("preshared key", map[bool]string{true: "yes", false: "no"}[p.Preshared != nil])
	row("expires", timeText(l.Expires))
	row("created", p.Created.Format(time.RFC3339))
	row("changed", p.Changed.Format(time.RFC3339))
	row("last handshake", timeText(l.LastHandshake))
	row("received", l.RxBytes)
	row("sent", l.TxBytes)
	if l.Endpoint != nil {
		row("endpoint", l.Endpoint)
	}
	return table.Flush()
}
