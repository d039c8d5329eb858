package configs

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// routes is suffix=addr:port[,addr:port], separated by blanks.
var routes = codec[[]DNSRoute]{
	name: "routes",
	parse: func(text string) ([]DNSRoute, error) {
		var list []DNSRoute
		for _, item := range strings.Fields(text) {
			suffix, upstreams, ok := strings.Cut(item, "=")
			if !ok {
				return nil, fmt.Errorf("holds %s without a suffix; write suffix=addr:port[,addr:port] with blanks between routes only", quote(item))
			}
			name, err := parseDomain(suffix)
			if err != nil {
				return nil, fmt.Errorf("has a route for %s: a suffix %w", quote(suffix), err)
			}
			if slices.ContainsFunc(list, func(r DNSRoute) bool { return r.Suffix == name }) {
				return nil, fmt.Errorf("has two routes for %s; list all its servers in one, separated by commas", quote(name))
			}
			servers, err := parseServers(upstreams, dnsServerPort)
			if err != nil {
				return nil, fmt.Errorf("has a route for %s that %w", quote(name), err)
			}
			list = append(list, DNSRoute{Suffix: name, Upstreams: servers})
		}
		return list, nil
	},
	format: func(list []DNSRoute) string {
		texts := make([]string, len(list))
		for i, r := range list {
			texts[i] = r.Suffix + "=" + formatAddrPorts(r.Upstreams)
		}
		return strings.Join(texts, " ")
	},
}

// listenValue is DNS_LISTEN. It is not a codec because a missing port comes from
// another setting, which stands before it in the table.
type listenValue struct{}

func (listenValue) set(s *Settings, text string) error {
	var list []netip.AddrPort
	for _, item := range splitList(text) {
		a, err := parseAddrPort(item, s.DNSPort)
		if err != nil {
			return err
		}
		if a.Addr().IsMulticast() {
			return fmt.Errorf("holds %s, a multicast address", quote(item))
		}
		if slices.Contains(list, a) {
			return fmt.Errorf("lists %s twice", a)
		}
		list = append(list, a)
	}
	if list == nil {
		return errors.New("must list addresses addr[:port], separated by commas")
	}
	s.DNSListen, s.DNSListenSet = list, true
	return nil
}

func (listenValue) text(s *Settings) string { return formatAddrPorts(s.DNSListen) }

func (listenValue) kind() string { return "addresses" }
