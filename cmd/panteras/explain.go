package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"panteras/configs"
	"panteras/configs/haproxy"
	"panteras/dnsserver/lb"
	"panteras/internal/consulclient"
	"panteras/launcher/balancer"

	consul "github.com/hashicorp/consul/api"
	"github.com/spf13/cobra"
)

const explainHelp = `Explain what happens to a name on this host, such as web.service.consul or web.

It tells where the DNS server sends questions for it, which instances Consul knows of
the service and how they are, and which backend and servers of HAProxy serve it, or why
none does.`

func newExplainCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "explain NAME[/PATH]",
		Short:   "Explain where a name leads, and why not",
		Long:    explainHelp,
		Example: "  panteras explain web.service.consul\n  panteras explain any.host/minions/say",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			loaded, host, _ := a.look(cmd)
			if err := configs.JoinErrors(loaded.Findings); err != nil {
				return &usageError{err}
			}
			return explain(cmd.Context(), a.stdout, &loaded.Settings, host, args[0])
		},
	}
	addSettingsFlags(cmd, configs.GroupCommon, configs.GroupTunnel, configs.GroupDaemons)
	return cmd
}

func explain(ctx context.Context, w io.Writer, s *configs.Settings, host configs.HostFacts, what string) error {
	name, path, _ := strings.Cut(what, "/")
	service, rest, _ := strings.Cut(name, ".")
	if rest == "" {
		name = service + ".service." + s.ConsulDomain
	}
	var text strings.Builder
	fmt.Fprintf(&text, "DNS      %s goes to %s\n", name, s.RouteOf(name))
	if s.DNSMode == configs.DNSModeLB {
		fmt.Fprintf(&text, "         A and AAAA: %s (DNS_MODE=lb)\n", explainAddress(ctx, s, host, name))
	}
	fmt.Fprintf(&text, "Consul   %s\n", explainConsul(ctx, s, service))
	report, _, err := balancer.ReadReport(filepath.Join(s.RunDir, "haproxy"))
	if err != nil {
		fmt.Fprintf(&text, "HAProxy  nothing is known of it on this host: %v\n", err)
	} else {
		explainHAProxy(&text, report, name, "/"+path, service)
	}
	_, err = io.WriteString(w, text.String())
	return err
}

// explainAddress tells which addresses the DNS server gives for a name with DNS_MODE=lb,
// by what Consul says now.
func explainAddress(ctx context.Context, s *configs.Settings, host configs.HostFacts, name string) string {
	const direct = "the answer above"
	service, dc, ok := s.ServiceOf(name)
	if !ok {
		return direct + ", because it is not the name of a service"
	}
	client, err := consulclient.New(s)
	if err != nil {
		return err.Error()
	}
	ask := (&consul.QueryOptions{}).WithContext(ctx)
	instances, _, err := client.Health().Service(service, "", true, ask)
	if err != nil {
		return consulclient.Explain(err, s.ConsulHTTPAddr).Error()
	}
	if !slices.ContainsFunc(instances, func(i *consul.ServiceEntry) bool { return lb.Tagged(i.Service.Tags) }) {
		return direct + ", because no instance with the tag haproxy or webapp passes"
	}
	if dc != "" {
		all, err := client.Catalog().Datacenters()
		if err != nil {
			return consulclient.Explain(err, s.ConsulHTTPAddr).Error()
		}
		if !slices.ContainsFunc(all, func(known string) bool { return strings.EqualFold(known, dc) }) {
			return fmt.Sprintf("%s, because Consul knows no data centre %s", direct, dc)
		}
	}
	balancers, _, err := client.Health().Service(lb.Balancer, "", true, ask)
	if err != nil {
		return consulclient.Explain(err, s.ConsulHTTPAddr).Error()
	}
	own := append(host.Addrs(), s.IP, s.HostIP)
	isOwn := func(a netip.Addr) bool { return slices.Contains(own, a) }
	chosen := lb.Choose(lb.Addresses(balancers), isOwn)
	switch {
	case len(chosen) == 0:
		return direct + ", because no HAProxy passes (service haproxy)"
	case len(chosen) == 1 && isOwn(chosen[0]):
		return fmt.Sprintf("%s, the HAProxy of this host", chosen[0])
	}
	list := make([]string, len(chosen))
	for i, a := range chosen {
		list[i] = a.String()
	}
	return strings.Join(list, " ") + ", where HAProxy passes; on this host none does"
}

// explainConsul tells of a service's instances.
func explainConsul(ctx context.Context, s *configs.Settings, service string) string {
	client, err := consulclient.New(s)
	if err != nil {
		return err.Error()
	}
	entries, _, err := client.Health().Service(service, "", false, (&consul.QueryOptions{}).WithContext(ctx))
	switch {
	case err != nil:
		return fmt.Sprintf("does not answer: %v", err)
	case len(entries) == 0:
		return fmt.Sprintf("knows no service %s", service)
	}
	lines := []string{fmt.Sprintf("knows %d of %s:", len(entries), service)}
	for _, e := range entries {
		address := e.Service.Address
		if address == "" {
			address = e.Node.Address
		}
		lines = append(lines, fmt.Sprintf("           %s:%d on %q is %s, tags %q", address, e.Service.Port, e.Node.Node, e.Checks.AggregatedStatus(), e.Service.Tags))
	}
	return strings.Join(lines, "\n")
}

func explainHAProxy(w io.Writer, r *haproxy.Report, host, path, service string) {
	if r.Refused != "" {
		fmt.Fprintf(w, "HAProxy  serves what it served before, because of: %s\n", r.Refused)
	}
	shown := r.Serving(host, path)
	if shown == nil {
		fmt.Fprintf(w, "HAProxy  has no backend for http://%s%s: no passing instance has the tag haproxy, or it is refused\n", host, path)
	}
	for i := range r.Backends {
		if b := &r.Backends[i]; b == shown || b.Service == service && b.Port != 0 {
			fmt.Fprintf(w, "HAProxy  %s serves %s:\n", b.Name, strings.Join(b.Entrances(), " "))
			for _, server := range b.Servers {
				fmt.Fprintf(w, "           %s weight %d\n", server.Address, server.Weight)
			}
		}
	}
	for _, f := range r.Findings {
		if f.Service == service {
			fmt.Fprintf(w, "         %s\n", f.Message)
		}
	}
}
