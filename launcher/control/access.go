package control

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"panteras/configs"
)

// Names are the names of a host that its API answers to, beside its addresses and
// localhost.
func Names(s *configs.Settings) []string {
	names := []string{s.Hostname, s.FQDN, s.Hostname + ".node." + s.ConsulDomain, s.Hostname + ".node." + s.ConsulDC + "." + s.ConsulDomain}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" || name[0] == '.' })
}

// refusal is a request that is not answered, and why.
type refusal struct {
	code int
	text string
}

// gate decides who is let in over TCP.
type gate struct {
	token token
	names map[string]bool // lower case
	// holds is done when the token is another one by now; void makes it so.
	holds context.Context
	void  context.CancelFunc
}

func newGate(secret string, names []string) *gate {
	g := &gate{token: newToken(secret), names: map[string]bool{"localhost": true}}
	for _, name := range names {
		g.names[canonical(name)] = true
	}
	return g
}

func canonical(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

// open tells whether a request needs no token.
func open(r *http.Request) bool {
	return r.URL.Path == healthPath && r.URL.EscapedPath() == healthPath && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// foreign is nil for a request that no web page of somebody else can have made, unless
// it is a link in one that leads to a document of ours.
func (g *gate) foreign(r *http.Request, document bool) *refusal {
	if !g.ours(r.Host) {
		return &refusal{http.StatusMisdirectedRequest, "the Host of the request is no address or name of this host; use its address, HOSTNAME or FQDN"}
	}
	if document && r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" && len(r.Header.Values("Origin")) == 0 {
		return nil
	}
	if err := sameOrigin(r); err != nil {
		return &refusal{http.StatusForbidden, err.Error()}
	}
	return nil
}

// unknown is nil for a request that shows the token, or needs none.
func (g *gate) unknown(r *http.Request) *refusal {
	if open(r) {
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &refusal{http.StatusBadRequest, "the query of the URL cannot be read"}
	}
	if query.Has("token") || query.Has("access_token") {
		return &refusal{http.StatusUnauthorized, "a token in a URL ends up in logs and is not taken; send the header Authorization: Bearer …"}
	}
	shown := r.Header.Values("Authorization")
	if len(shown) != 1 {
		return &refusal{http.StatusUnauthorized, "this needs the header Authorization: Bearer …, once, with the token in STATE_DIR/token"}
	}
	scheme, secret, _ := strings.Cut(shown[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || !g.token.is(secret) {
		return &refusal{http.StatusUnauthorized, "wrong token; the right one is in STATE_DIR/token"}
	}
	return nil
}

// ours tells whether a Host header names this host. A name that somebody else owns can
// be made to resolve to our address (DNS rebinding); an address cannot.
func (g *gate) ours(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	} else if inner, ok := strings.CutPrefix(host, "["); ok {
		name = strings.TrimSuffix(inner, "]")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return g.names[canonical(name)]
}

// sameOrigin refuses what a web page of another origin has sent.
func sameOrigin(r *http.Request) error {
	foreign := errors.New("the request comes from a web page of another origin")
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "same-origin", "none":
	default:
		return foreign
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return nil
	}
	if len(origins) > 1 {
		return foreign
	}
	o, err := url.Parse(origins[0])
	if err != nil || o.Scheme != "http" && o.Scheme != "https" || !strings.EqualFold(o.Host, r.Host) || o.User != nil || o.Path != "" || o.RawQuery != "" || o.Fragment != "" {
		return foreign
	}
	return nil
}
