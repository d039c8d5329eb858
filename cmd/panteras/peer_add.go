package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"panteras/tunnel"
	"panteras/tunnel/admin"
	"panteras/tunnel/client"

	"github.com/spf13/cobra"
)

const peerAddHelp = `Add a peer and print its client file, once: the private key in it is kept
nowhere. With --public-key the client has made the key (panteras peer keygen), and
its owner puts the private key into the file.

On Linux: wg-quick up ./FILE. On macOS and Windows import the file into the
WireGuard app and run the script beside it once, for the platform's names. On a
phone scan the QR code.

The file's name becomes the name of an interface: one of more than 15 characters is
replaced by a short one, which is said.`

const peerAddExample = `  panteras peer add alice-laptop --output alice-laptop.conf
  panteras peer add bob --public-key k3yOf43CharactersAndAnEqualsSign…= --os macos
  panteras peer add carol-phone --os mobile --qr --expires 30d
  panteras peer add ci --allow 10.1.0.0/24:tcp/443,8000-8100 --allow 10.1.0.7:udp/53`

func newPeerAddCommand(a *app) *cobra.Command {
	var publicKey, expires, gateway string
	var allow []string
	var preshared bool
	var out handOut
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add a peer and print its client file", Long: peerAddHelp, Example: peerAddExample,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := admin.Request{Name: args[0], Gateway: gateway, Preshared: preshared}
			err := out.parse(&r, publicKey)
			if err == nil && expires != "" {
				r.Expires, err = admin.ParseExpires(expires, time.Now())
			}
			if err == nil {
				r.Allow, err = parseAllow(allow)
			}
			if err == nil {
				err = tunnel.CheckPeerName(r.Name)
			}
			if err != nil {
				return &usageError{err}
			}
			return a.withAdmin(cmd, func(d *desk, adm *admin.Admin) error {
				issued, err := adm.Add(d, r, func(i *admin.Issued) error { return out.deliver(a, i) })
				if issued != nil {
					tell(a.stderr, "added", issued)
				}
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&publicKey, "public-key", "", "the `KEY` that the client has made")
	flags.StringVar(&expires, "expires", "", "how long or until when the peer has access: 12h, 30d, 8w, 2027-01-31 (default never)")
	flags.StringArrayVar(&allow, "allow", nil, "what the peer may reach, `CIDR[:tcp|udp[/ports]]`; may be repeated (default all: the gateway's TUNNEL_ROUTES, and never more)")
	flags.StringVar(&gateway, "gateway", "", "the `NAME` of the gateway that the client is to dial (default the only one, or this host)")
	flags.BoolVar(&preshared, "preshared-key", false, "protect the tunnel with a preshared key as well")
	out.addFlags(cmd)
	addPeerSettings(cmd)
	return cmd
}

// parseAllow reads the rules of --allow; there are none for all.
func parseAllow(texts []string) (rules []tunnel.Rule, err error) {
	if len(texts) == 1 && texts[0] == "all" {
		return nil, nil
	}
	for _, text := range texts {
		rule, err := tunnel.ParseRule(text)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// tell says what was done with a peer.
func tell(w io.Writer, done string, i *admin.Issued) {
	addresses := make([]string, len(i.Peer.Addresses))
	for j, addr := range i.Peer.Addresses {
		addresses[j] = addr.String()
	}
	until := ""
	if !i.Peer.Expires.IsZero() {
		until = ", expires " + i.Peer.Expires.Format(time.RFC3339)
	}
	fmt.Fprintf(w, "%s %s: %s at gateway %s (%s)%s\n", done, i.Peer.Name, strings.Join(addresses, ", "), i.Gateway.Name, i.Gateway.Endpoint, until)
	if !i.Complete {
		fmt.Fprintln(w, "the owner's private key has to be put into the file")
	}
}

// handOut is how an operator wants a client file.
type handOut struct {
	system, output, png string
	qr, asJSON          bool
}

func (o *handOut) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.system, "os", string(client.Linux), "the client's system: linux, macos, windows or mobile")
	flags.StringVar(&o.output, "output", "", "write the client file into `FILE`, or into a folder, instead of printing it")
	flags.StringVar(&o.png, "png", "", "write the QR code into `FILE`")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON: the peer, the client file, its script and its QR code")
	flags.BoolVar(&o.qr, "qr", false, "print the QR code (default where the client file is printed on a terminal)")
}

// parse checks the flags that a request depends on.
func (o *handOut) parse(r *admin.Request, publicKey string) (err error) {
	if o.asJSON && (o.output != "" || o.png != "" || o.qr) {
		return fmt.Errorf("--json prints everything; leave out --output, --png and --qr")
	}
	if r.System, err = client.ParseSystem(o.system); err != nil {
		return fmt.Errorf("--os: %w", err)
	}
	if publicKey != "" {
		if r.PublicKey, err = tunnel.ParsePublicKey(publicKey); err != nil {
			return fmt.Errorf("--public-key %w", err)
		}
		if o.qr || o.png != "" {
			return fmt.Errorf("a QR code is of no use without the private key, which only the client has; leave out --qr and --png, or --public-key")
		}
	}
	return nil
}
