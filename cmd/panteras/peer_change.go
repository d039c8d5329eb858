package main

import (
	"fmt"
	"time"

	"panteras/tunnel/admin"

	"github.com/spf13/cobra"
)

func newPeerDisableCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "disable NAME", Short: "Take a peer's access away, and keep its name, key and address", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAdmin(cmd, func(d *desk, adm *admin.Admin) error {
				_, err := adm.SetAccess(d, args[0], admin.Access{})
				return err
			})
		},
	}
	addPeerSettings(cmd)
	return cmd
}

func newPeerEnableCommand(a *app) *cobra.Command {
	var expires string
	var allow []string
	cmd := &cobra.Command{
		Use: "enable NAME", Short: "Give a peer its access back, or another one",
		Long: "Give a peer that was disabled or has expired its access back, or change until when a\npeer has access, and to what. Its client file stays as it is.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			to := admin.Access{Enabled: true}
			if cmd.Flags().Changed("allow") {
				rules, err := parseAllow(allow)
				if err != nil {
					return &usageError{err}
				}
				to.Allow = &rules
			}
			if expires != "" {
				at, err := admin.ParseExpires(expires, time.Now())
				if err != nil {
					return &usageError{err}
				}
				to.Expires = &at
			}
			return a.withAdmin(cmd, func(d *desk, adm *admin.Admin) error {
				_, err := adm.SetAccess(d, args[0], to)
				return err
			})
		},
	}
	cmd.Flags().StringArrayVar(&allow, "allow", nil, "what the peer may reach from now on, `CIDR[:tcp|udp[/ports]]`, or all; may be repeated (default as before)")
	cmd.Flags().StringVar(&expires, "expires", "", "how long or until when: 12h, 30d, 8w, 2027-01-31, never (default as before)")
	addPeerSettings(cmd)
	return cmd
}

func newPeerRotateCommand(a *app) *cobra.Command {
	var publicKey, gateway string
	var preshared bool
	var out handOut
	cmd := &cobra.Command{
		Use: "rotate NAME", Short: "Give a peer another key, and print its new client file",
		Long: "Give a peer another key, and print its new client file. The old file stops working at once;\nname, address and everything else stay.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := admin.Request{Name: args[0], Gateway: gateway, Preshared: preshared}
			if err := out.parse(&r, publicKey); err != nil {
				return &usageError{err}
			}
			return a.withAdmin(cmd, func(d *desk, adm *admin.Admin) error {
				issued, err := adm.Rotate(d, r, func(i *admin.Issued) error { return out.deliver(a, i) })
				if issued != nil && err == nil {
					tell(a.stderr, "rotated", issued)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&publicKey, "public-key", "", "the new `KEY` that the client has made")
	cmd.Flags().StringVar(&gateway, "gateway", "", "the `NAME` of the gateway that the client is to dial (default as before; if that one is gone, as for add)")
	cmd.Flags().BoolVar(&preshared, "preshared-key", false, "protect the tunnel with a preshared key as well (a peer that has one gets a new one)")
	out.addFlags(cmd)
	addPeerSettings(cmd)
	return cmd
}

func newPeerRemoveCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Remove a peer; its address is not given to others for 10 minutes", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAdmin(cmd, func(d *desk, adm *admin.Admin) error {
				peer, err := adm.Remove(d, args[0])
				if err == nil {
					fmt.Fprintf(a.stderr, "removed %s\n", peer.Name)
				}
				return err
			})
		},
	}
	addPeerSettings(cmd)
	return cmd
}
