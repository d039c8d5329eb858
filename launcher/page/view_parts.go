package page

import (
	"fmt"
	"strings"
	"time"

	"panteras/configs/haproxy"
	"panteras/launcher"
)

// dnsView is the DNS server as it is shown.
type dnsView struct {
	Trouble   []string
	Routes    []routeView
	Upstreams []upstreamView
	Queries   string // a second, of all routes
	Dropped   string
	Measured  bool // figures a second are known
}

type routeView struct{ Route, PerSecond, P50, P99, Failed, Total string }

type upstreamView struct {
	Address, Role, State, Tone, Latency, Answers, Timeouts, NoAnswer string
}

func (s *snapshot) dnsPart() dnsView {
	var v dnsView
	if gone := s.gone("dns", "The DNS server"); gone != "" {
		v.Trouble = append(v.Trouble, gone)
		return v // what it had counted is no news
	}
	if text := stale("Its figures cannot be read", s.dns, s.now); text != "" {
		v.Trouble = append(v.Trouble, text)
	}
	if !s.dns.known() {
		return v
	}
	rates, measured := s.dns.value.rates()
	v.Measured = measured
	per := func(value float64) string {
		if !measured {
			return "…"
		}
		return rate(value)
	}
	all := 0.0
	for _, r := range rates {
		all += r.PerSecond
		v.Routes = append(v.Routes, routeView{
			Route: r.Route, PerSecond: per(r.PerSecond), P50: span(r.P50), P99: span(r.P99), Failed: per(r.Failed), Total: fmt.Sprintf("%.0f", r.Total),
		})
	}
	v.Queries = per(all)
	last := s.dns.value[len(s.dns.value)-1]
	v.Dropped = fmt.Sprintf("%.0f", last.dropped)
	for _, u := range last.upstreams {
		state, tone := "up", good
		switch {
		case u.Loop:
			state, tone = "loops back here", bad
		case !u.Up:
			state, tone = "down", bad
		}
		v.Upstreams = append(v.Upstreams, upstreamView{
			Address: u.Address, Role: u.Role, State: state, Tone: tone, Latency: span(u.Latency),
			Answers: fmt.Sprintf("%.0f", u.Answers), Timeouts: fmt.Sprintf("%.0f", u.Timeouts), NoAnswer: fmt.Sprintf("%.0f", u.NoAnswer),
		})
	}
	return v
}

// away fills the card of a daemon that does not do its work here, and tells whether that
// is so.
func (s *snapshot) away(c *card, daemon, called string) bool {
	d := s.daemon(daemon)
	switch {
	case d == nil || d.State == launcher.StateDisabled:
		c.Figure, c.Note, c.Tone = "off", "not on this host", quiet
	case !d.Ready:
		c.Figure, c.Note, c.Tone = "down", called+" is "+string(d.State), tone(d.State)
	default:
		return false
	}
	return true
}

func (s *snapshot) dnsCard() card {
	c := card{Title: "DNS", Target: "dns", Tone: good}
	if s.away(&c, "dns", "the DNS server") {
		return c
	}
	v := s.dnsPart()
	c.Figure, c.Note = v.Queries+" q/s", "no upstream"
	up := 0
	for _, u := range v.Upstreams {
		if u.Tone == good {
			up++
		}
	}
	if len(v.Upstreams) > 0 {
		c.Note = fmt.Sprintf("%d of %s up", up, count(len(v.Upstreams), "upstream"))
	}
	switch {
	case len(v.Trouble) > 0:
		c.Figure, c.Note, c.Tone = "?", "no figures", busy
	case up == 0:
		c.Tone = bad
	case up < len(v.Upstreams):
		c.Tone = busy
	}
	return c
}

// peersView is the tunnel as it is shown.
type peersView struct {
	Trouble []string
	Peers   []peerView
	Known   bool
}

type peerView struct {
	Name, Addresses, State, Tone, Handshake, Received, Sent, Endpoint, Expires string
	Enabled                                                                    bool
}

// connected is how old a handshake of a peer that is there may be, as the gateway has it
// in its metrics.
const connected = 3 * time.Minute

// hasPeers tells that the tunnel matters on this host.
func (s *snapshot) hasPeers() bool { return s.facts.Gateway || len(s.peers.value) > 0 }

func (s *snapshot) peersPart() peersView {
	v := peersView{Known: s.peers.known()}
	up := true
	if gone := s.gone("tunnel", "The gateway"); gone != "" {
		up = false
		v.Trouble = append(v.Trouble, gone+" Handshakes and traffic are not known here.")
	}
	if text := stale("The peers cannot be read", s.peers, s.now); text != "" {
		v.Trouble = append(v.Trouble, text)
	}
	for _, p := range s.peers.value {
		one := peerView{
			Name: p.Name, Addresses: strings.Join(p.Addresses, ", "), Enabled: p.Enabled, State: "enabled", Tone: quiet,
			Handshake: "–", Received: "–", Sent: "–",
		}
		if up {
			one.Handshake, one.Received, one.Sent, one.Endpoint = "never", size(p.RxBytes), size(p.TxBytes), p.Endpoint
		}
		if p.LastHandshake != nil && up {
			since := s.now.Sub(*p.LastHandshake)
			one.Handshake = ago(since) + " ago"
			if since < connected {
				one.State, one.Tone = "connected", good
			}
		}
		if p.Expires != nil {
			one.Expires = p.Expires.UTC().Format("2006-01-02 15:04 UTC")
			if !s.now.Before(*p.Expires) {
				one.State, one.Tone = "expired", busy
			}
		}
		if !p.Enabled {
			one.State, one.Tone = "disabled", busy
		}
		v.Peers = append(v.Peers, one)
	}
	return v
}

func (s *snapshot) peersCard() card {
	v := s.peersPart()
	n := 0
	for _, p := range v.Peers {
		if p.Tone == good {
			n++
		}
	}
	c := card{Title: "Peers", Target: "peers", Tone: good, Figure: fmt.Sprintf("%d / %d", n, len(v.Peers)), Note: "connected"}
	switch {
	case !v.Known:
		c.Figure, c.Note, c.Tone = "?", "cannot be read", bad
	case len(v.Trouble) > 0:
		c.Note, c.Tone = "see below", bad
	}
	return c
}

// The most that is shown; the rest is counted.
const (
	mostServices = 200
	mostServers  = 50
	mostFindings = 100
)

// balancerView is HAProxy as it is shown.
type balancerView struct {
	Trouble  []string
	Services []serviceView
	Findings []haproxy.Finding
	// More are those that are not shown.
	More, MoreFindings int
	Written, Reloaded  string
	Known              bool
	Servers            int
}

type serviceView struct {
	Service, Backend string
	Entrances        []string
	Servers          []haproxy.Server
	More             int
}

func (s *snapshot) balancerPart() balancerView {
	var v balancerView
	if gone := s.gone("haproxy", "HAProxy"); gone != "" {
		v.Trouble = append(v.Trouble, gone)
		if s.daemon("haproxy") == nil || s.daemon("haproxy").State == launcher.StateDisabled {
			return v
		}
		if s.balancer.known() {
			v.Trouble[0] += " Below is what it is to serve."
		}
	} else if gone := s.gone("consul-template", "consul-template"); gone != "" {
		v.Trouble = append(v.Trouble, gone+" HAProxy serves what it served last.")
	}
	if text := stale("The report cannot be read", s.balancer, s.now); text != "" {
		v.Trouble = append(v.Trouble, text)
	}
	if s.consulTrouble() != "" {
		v.Trouble = append(v.Trouble, "Consul is not there to be asked: this is what it said last.")
	}
	report := s.balancer.value.Report
	if report == nil {
		return v
	}
	v.Known = true
	v.Written = ago(s.now.Sub(s.balancer.value.Written)) + " ago"
	if !report.Reloaded.IsZero() {
		v.Reloaded = ago(s.now.Sub(report.Reloaded)) + " ago"
	}
	if state := report.State(); state != "" && (report.Refused != "" || s.gone("haproxy", "HAProxy") == "") {
		if report.Refused != "" {
			state = "What HAProxy serves is " + state
		}
		v.Trouble = append(v.Trouble, state)
	}
	for i := range report.Backends {
		b := &report.Backends[i]
		v.Servers += len(b.Servers)
		if i >= mostServices {
			v.More++
			continue
		}
		shown := b.Servers[:min(len(b.Servers), mostServers)]
		v.Services = append(v.Services, serviceView{Service: b.Service, Backend: b.Name, Entrances: b.Entrances(), Servers: shown, More: len(b.Servers) - len(shown)})
	}
	v.Findings = report.Findings[:min(len(report.Findings), mostFindings)]
	v.MoreFindings = len(report.Findings) - len(v.Findings)
	return v
}

func (s *snapshot) balancerCard() card {
	c := card{Title: "Balancer", Target: "balancer", Tone: good}
	if s.away(&c, "haproxy", "HAProxy") {
		return c
	}
	v := s.balancerPart()
	c.Figure = fmt.Sprint(len(v.Services) + v.More)
	c.Note = fmt.Sprintf("services, %s", count(v.Servers, "server"))
	if n := len(v.Findings) + v.MoreFindings; n > 0 {
		c.Note, c.Tone = "services, "+count(n, "finding"), busy
	}
	switch {
	case !v.Known:
		c.Figure, c.Note, c.Tone = "?", "nothing is known yet", busy
	case len(v.Trouble) > 0:
		c.Note, c.Tone = "see below", bad
	}
	return c
}
