package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"panteras/configs"
	"panteras/configs/haproxy"
	"panteras/dnsserver"
	"panteras/dnsserver/lb"
	"panteras/internal/consulclient"
	"panteras/launcher/balancer"
	"panteras/launcher/logs"

	consul "github.com/hashicorp/consul/api"
	"github.com/spf13/cobra"
)

const explainHelp = `Explain what happens to a name on this host, such as web.service.consul or web.

It tells where the DNS server sends questions for it, which instances Consul knows of
the service and how they are, whether HAProxy runs, and which frontend, backend and
servers of it serve the name, or why none does.`

// explainTime is how long Consul may take to answer all questions: what is known without it
// is told all the same.
const explainTime = 5 * time.Second

func newExplainCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "explain NAME[/PATH]",
		Short:   "Explain where a name leads, and why not",
		Long:    explainHelp,
		Example: "  panteras explain web.service.consul\n  panteras explain any.host/minions/say",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" || strings.ContainsFunc(args[0], func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
				return usagef("%q is no name; write one such as web.service.consul, without blanks", args[0])
			}
			loaded, host, _ := a.look(cmd)
			if err := configs.JoinErrors(loaded.Findings); err != nil {
				return &usageError{err}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), explainTime)
			defer cancel()
			return explain(ctx, a.stdout, &loaded.Settings, host, args[0])
		},
	}
	addSettingsFlags(cmd, configs.GroupCommon, configs.GroupTunnel, configs.GroupDaemons)
	return cmd
}

func explain(ctx context.Context, w io.Writer, s *configs.Settings, host configs.HostFacts, what string) error {
	q := questionOf(s, host, what)
	report, _, reportErr := balancer.ReadReport(filepath.Join(s.RunDir, "haproxy"))
	service := q.Service
	if reportErr == nil && service == "" {
		if b := report.Serving(q.Host, q.Path); b != nil {
			service = b.Service
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "DNS      %s goes to %s\n", q.Host, dnsserver.RouteOf(s, host.HostsFile, q.Host))
	if s.DNSMode == configs.DNSModeLB {
		fmt.Fprintf(&text, "         A and AAAA: %s (DNS_MODE=lb)\n", explainAddress(ctx, s, host, q.Host))
	}
	fmt.Fprintf(&text, "Consul   %s\n", explainConsul(ctx, s, service, q))
	switch {
	case reportErr != nil && !s.StartConsulTemplate:
		text.WriteString("HAProxy  does not run on this host, which does not balance (EDGE=false, or START_CONSUL_TEMPLATE=false)\n")
	case reportErr != nil:
		fmt.Fprintf(&text, "HAProxy  nothing is known of it on this host: %v\n", reportErr)
	default:
		lines := append(explainRunning(q.Options.Socket, report), report.Explain(q)...)
		fmt.Fprintf(&text, "HAProxy  %s\n", strings.Join(lines, "\n         "))
	}
	return writePrintable(w, text.String())
}

// writePrintable writes lines that strangers may have written parts of.
func writePrintable(w io.Writer, text string) error {
	var clean strings.Builder
	for line := range strings.Lines(text) {
		line, end := strings.CutSuffix(line, "\n")
		clean.WriteString(logs.Printable(line))
		if end {
			clean.WriteString("\n")
		}
	}
	_, err := io.WriteString(w, clean.String())
	return err
}

// questionOf is what somebody wants to know who writes NAME[/PATH]; a name without a dot
// is a service.
func questionOf(s *configs.Settings, host configs.HostFacts, what string) *haproxy.Question {
	if _, rest, ok := strings.Cut(what, "://"); ok {
		what = rest // as a browser has it
	}
	name, path, _ := strings.Cut(what, "/")
	if host, _, ok := strings.Cut(name, ":"); ok && !strings.HasPrefix(name, "[") {
		name = host // as a Host header has it
	}
	service, rest, _ := strings.Cut(name, ".")
	if rest == "" || rest == "service" {
		name = service + ".service." + s.ConsulDomain
	}
	q := &haproxy.Question{Host: name, Path: "/" + path, Options: haproxy.OptionsOf(s, host.Users)}
	q.Service, q.DC, _ = s.ServiceOf(name)
	return q
}

// explainRunning tells whether HAProxy runs, and with what.
func explainRunning(socket string, r *haproxy.Report) (lines []string) {
	running, err := balancer.Runs(socket)
	switch {
	case err != nil:
		lines = append(lines, fmt.Sprintf("cannot be asked whether it runs: %v", err))
	case running:
		lines = append(lines, "runs")
	default:
		lines = append(lines, "does not run on this host, so nothing of this is served here; `panteras status` tells why")
	}
	if state := r.State(); state != "" {
		lines = append(lines, state)
	}
	return lines
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
		all, err := datacenters(client, ask)
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

// explainConsul tells of a service's instances, and notes in q what explains why HAProxy
// serves them or not.
func explainConsul(ctx context.Context, s *configs.Settings, service string, q *haproxy.Question) string {
	if service == "" {
		return fmt.Sprintf("is not asked: %s is not the name of a service", q.Host)
	}
	client, err := consulclient.New(s)
	if err != nil {
		return err.Error()
	}
	ask := (&consul.QueryOptions{}).WithContext(ctx)
	entries, _, err := client.Health().Service(service, "", false, ask)
	if err != nil {
		return fmt.Sprintf("does not answer: %v", consulclient.Explain(err, s.ConsulHTTPAddr))
	}
	q.ConsulTells = true
	lines := []string{fmt.Sprintf("knows %d of %s:", len(entries), service)}
	if len(entries) == 0 {
		lines = []string{fmt.Sprintf("knows no service %s", service)}
	}
	for _, e := range entries {
		address := e.Service.Address
		if address == "" {
			address = e.Node.Address
		}
		status := e.Checks.AggregatedStatus()
		q.Instances = append(q.Instances, haproxy.Known{Tags: e.Service.Tags, Passing: status == consul.HealthPassing})
		lines = append(lines, fmt.Sprintf("           %s:%d on %q is %s, tags %q", address, e.Service.Port, e.Node.Node, status, e.Service.Tags))
	}
	if q.DC != "" {
		lines = append(lines, explainDatacenter(ctx, client, service, q)...)
	}
	return strings.Join(lines, "\n")
}

// datacenters are all that Consul knows. The client's own call takes no options, so that
// nothing ends it but an answer.
func datacenters(client *consul.Client, ask *consul.QueryOptions) (all []string, err error) {
	_, err = client.Raw().Query("/v1/catalog/datacenters", &all, ask)
	return all, err
}

// explainDatacenter tells of a service's instances in a data centre that a name is in,
// where that is another one than this host's.
func explainDatacenter(ctx context.Context, client *consul.Client, service string, q *haproxy.Question) []string {
	ask := (&consul.QueryOptions{}).WithContext(ctx)
	all, err := datacenters(client, ask)
	if err != nil || len(all) == 0 {
		return nil
	}
	q.Datacenters, q.OwnDC = all, all[0] // the nearest is the first, mostly
	var self struct{ Config struct{ Datacenter string } }
	if _, err := client.Raw().Query("/v1/agent/self", &self, ask); err == nil && self.Config.Datacenter != "" {
		q.OwnDC = self.Config.Datacenter
	}
	i := slices.IndexFunc(all, func(known string) bool { return strings.EqualFold(known, q.DC) })
	if i < 0 || strings.EqualFold(q.DC, q.OwnDC) {
		return nil
	}
	there, _, err := client.Health().Service(service, "", true, (&consul.QueryOptions{Datacenter: all[i]}).WithContext(ctx))
	if err != nil {
		return []string{fmt.Sprintf("           in %s: %v", q.DC, err)}
	}
	q.Away = len(there)
	return []string{fmt.Sprintf("           in %s %d pass; the above are in %s", q.DC, len(there), q.OwnDC)}
}
