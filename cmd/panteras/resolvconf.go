package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"panteras/configs"
	"panteras/dnsserver/resolvconf"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"
)

const resolvConfHelp = `Make this host ask its own DNS server for all names, or put back what was there.

"install" asks the DNS server first, and changes nothing unless it answers. Who writes
resolv.conf decides what is changed: systemd-resolved gets a drop-in and asks the DNS
server from then on; NetworkManager and dhclient are told to leave /etc/resolv.conf
alone. The former file stays as /etc/resolv.conf.orig, where the DNS server finds its
recursors, and dhclient puts new ones. If the host does not resolve names afterwards, everything is put back.

"restore" puts back exactly what was there, except for what somebody has changed since
(--force: that as well). A changed file that names this DNS server alone is put back, too,
and is kept beside it, with ".edited" behind its name.`

const resolvConfExample = `  sudo panteras resolvconf install
  sudo panteras resolvconf restore`

func newResolvConfCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "resolvconf", Short: "Make this host ask its own DNS server, or undo that", Long: resolvConfHelp, Example: resolvConfExample,
		Args: cobra.NoArgs,
	}
	act := func(use, short string, load func(*cobra.Command) (*configs.Loaded, error), do func(context.Context, *resolvconf.Host, *configs.Settings) (*resolvconf.Result, error)) *cobra.Command {
		sub := &cobra.Command{
			Use: use, Short: short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				loaded, err := load(cmd)
				if err != nil {
					return err
				}
				if os.Geteuid() != 0 {
					return errors.New("only root may change how a host resolves names; run it with sudo")
				}
				host := &resolvconf.Host{
					Record: filepath.Join(loaded.Settings.StateDir, "resolvconf.json"), Run: runCommand, Answers: answersNames,
				}
				result, err := do(cmd.Context(), host, &loaded.Settings)
				if result != nil {
					fmt.Fprint(a.stdout, result.Describe())
				}
				return err
			},
		}
		addSettingsFlags(sub, configs.GroupCommon, configs.GroupTunnel, configs.GroupDaemons)
		cmd.AddCommand(sub)
		return sub
	}
	valid := func(cmd *cobra.Command) (*configs.Loaded, error) {
		loaded, _, err := a.load(cmd)
		return loaded, err
	}
	// Whatever is wrong with the settings, a host must be able to go back.
	asTheyAre := func(cmd *cobra.Command) (*configs.Loaded, error) {
		loaded, _, _ := a.look(cmd)
		return loaded, nil
	}
	act("install", "Make this host ask its own DNS server", valid, func(ctx context.Context, h *resolvconf.Host, s *configs.Settings) (*resolvconf.Result, error) {
		server, ok := s.DNSAddress()
		if !ok {
			return nil, errors.New("the DNS server does not listen on port 53, the only one that resolv.conf knows; set DNS_PORT=53")
		}
		return h.Install(ctx, server)
	})
	force := false
	restore := act("restore", "Put back how this host resolved names before", asTheyAre, func(ctx context.Context, h *resolvconf.Host, _ *configs.Settings) (*resolvconf.Result, error) {
		return h.Restore(ctx, force)
	})
	restore.Flags().BoolVar(&force, "force", false, "also put back what somebody has changed since")
	return cmd
}

// runCommand runs a command; the error holds what it said.
func runCommand(ctx context.Context, argv ...string) error {
	output, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}

// How long a DNS server may take to answer. One that was just restarted takes a while.
const (
	answerTime  = 10 * time.Second
	answerTry   = time.Second
	answerPause = 100 * time.Millisecond
)

// answersNames says why a server does not answer. Every server knows localhost
// (RFC 6761 section 6.3).
func answersNames(ctx context.Context, server netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	client := &dns.Client{Timeout: answerTry}
	var said error // by the last try that was not cut short
	for {
		reply, _, err := client.ExchangeContext(ctx, new(dns.Msg).SetQuestion("localhost.", dns.TypeA), netip.AddrPortFrom(server, 53).String())
		if err == nil && reply.Rcode != dns.RcodeRefused && reply.Rcode != dns.RcodeServerFailure {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("it says %s", dns.RcodeToString[reply.Rcode])
		}
		if said == nil || ctx.Err() == nil {
			said = err
		}
		select {
		case <-ctx.Done():
			return said
		case <-time.After(answerPause):
		}
	}
}
