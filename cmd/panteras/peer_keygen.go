package main

import (
	"fmt"

	"panteras/tunnel"

	"github.com/spf13/cobra"
)

const peerKeygenHelp = `Make a key pair on the client, so that the private key never leaves it.

With --output the private key goes into a file of its own, and the public key, which
is for the operator (panteras peer add NAME --public-key KEY), is printed. Without,
both are printed.`

func newPeerKeygenCommand(a *app) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "keygen", Short: "Make a key pair on the client", Long: peerKeygenHelp, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			key, err := tunnel.NewPrivateKey()
			if err != nil {
				return err
			}
			if output == "" {
				_, err = fmt.Fprintf(a.stdout, "PrivateKey = %s\nPublicKey = %s\n", key.Reveal(), key.Public())
				return err
			}
			if err := createNew(output, []byte(key.Reveal()+"\n")); err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, key.Public())
			return err
		},
	}
	cmd.Flags().StringVar(&output, "output", "", "write the private key into `FILE`")
	return cmd
}
