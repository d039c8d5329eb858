package host

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"path/filepath"

	"panteras/configs"
	"panteras/internal/consulclient"
	"panteras/launcher"
	"panteras/launcher/balancer"
	"panteras/launcher/control"
	"panteras/launcher/page"

	consul "github.com/hashicorp/consul/api"
)

// newPage makes the status page of this host.
func (h *Host) newPage(server *control.Server, token string) *page.Page {
	return page.New(page.Options{
		Token: token, Launcher: pageLauncher{commands{h}, server}, Logs: h.logs, Peers: h.o.Peers,
		Facts: h.pageFacts, Instance: server.Instance().ID,
		Leader: h.leader, DNS: h.dnsMetrics, Balancer: h.served, Explain: h.o.Explain, Log: h.o.Log,
	})
}

// pageLauncher is the launcher as the page sees it.
type pageLauncher struct {
	commands
	server *control.Server
}

// Status tells in bounded time what has become of the daemons.
func (l pageLauncher) Status(ctx context.Context) (launcher.Status, error) {
	return l.server.Status(ctx)
}

// leader asks Consul who leads.
func (h *Host) leader(ctx context.Context) (string, error) {
	settings := h.settings()
	client, err := consulclient.New(settings)
	if err != nil {
		return "", err
	}
	leader, err := client.Status().LeaderWithQueryOptions((&consul.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return "", consulclient.Explain(err, settings.ConsulHTTPAddr)
	}
	return leader, nil
}

// dnsMetrics reads the metrics of the DNS server.
func (h *Host) dnsMetrics(ctx context.Context) (page.Metrics, error) {
	_, plan := h.current()
	where, ok := plan.Metrics()["dns"]
	if !ok {
		return nil, errors.New("it has none; set METRICS_LISTEN to an address")
	}
	return control.Scrape(ctx, where)
}

// served reads what HAProxy serves.
func (h *Host) served(context.Context) (page.Balancer, error) {
	report, written, err := balancer.ReadReport(filepath.Join(h.settings().RunDir, "haproxy"))
	return page.Balancer{Report: report, Written: written}, err
}

// pageFacts are those of the settings in force.
func (h *Host) pageFacts() page.Facts {
	loaded, plan := h.current()
	settings := &loaded.Settings
	return page.Facts{
		Host: settings.Hostname, Version: h.o.Build.Version,
		Links: pageLinks(settings, plan), Gateway: runs(plan, "tunnel"),
	}
}

// pageLinks are the user interfaces of daemons that run here, as other hosts reach them.
func pageLinks(s *configs.Settings, p *launcher.Plan) (links []page.Link) {
	address := s.ListenIP
	if !address.IsValid() || address.IsUnspecified() {
		address = s.HostIP
	}
	add := func(name, daemon, scheme string, port uint16, path string) {
		u := url.URL{Scheme: scheme, Host: netip.AddrPortFrom(address, port).String(), Path: path}
		links = append(links, page.Link{Name: name, URL: u.String(), Daemon: daemon})
	}
	for _, d := range p.Daemons {
		if !d.Run || !address.IsValid() {
			continue
		}
		scheme, port := d.WebUI()
		switch d.Name {
		case "consul":
			if s.ConsulServer { // a client has no user interface
				add("Consul", d.Name, scheme, port, "/ui/")
			}
		case "marathon":
			add("Marathon", d.Name, scheme, port, "/")
		case "mesos-master":
			add("Mesos", d.Name, scheme, port, "/")
		case "chronos":
			add("Chronos", d.Name, scheme, port, "/")
		case "haproxy":
			add("HAProxy", d.Name, "http", s.HAProxyStatsPort, "/")
		}
	}
	return links
}
