package main

import (
	"fmt"
	"strings"

	"panteras/tunnel"
	"panteras/tunnel/admin"

	"github.com/spf13/cobra"
)

const gatewayForgetHelp = `Take a gateway that is no more out of the store, such as one whose host has another
name now: no client file is made for it any more. Peers stay as they are; those whose
files are for it are named.

One that runs after all makes itself known again within seconds.`

func newGatewayForgetCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "forget NAME", Short: "Take a gateway that is no more out of the store", Long: gatewayForgetHelp, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			return a.withAdmin(cmd, func(d *desk, adm *admin.Admin) error {
				if status, err := admin.ReadStatus(d, tunnel.StatusSocket(d.RunDir, d.StateDir)); err == nil && status != nil && status.Gateway == name {
					return fmt.Errorf("gateway %s runs on this host, and would make itself known again; end it first", name)
				}
				gone, err := adm.ForgetGateway(d, name)
				if gone == nil {
					return err
				}
				fmt.Fprintf(a.stderr, "forgot gateway %s\n", name)
				switch peers := strings.Join(gone.Peers, ", "); {
				case peers == "":
				case gone.Twin != "":
					fmt.Fprintf(a.stderr, "%s: client files are for it, and go on with its twin %s\n", peers, gone.Twin)
				default:
					fmt.Fprintf(a.stderr, "%s: client files are for it, and no other gateway will do; make new ones with panteras peer rotate\n", peers)
				}
				return err
			})
		},
	}
	addPeerSettings(cmd)
	return cmd
}
