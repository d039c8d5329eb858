package tunnel

import (
	"fmt"
	"net/netip"
	"strings"
)

// Bound is the part of the rules that lies within the routes; without rules, the
// routes themselves. The order of rules stays; what is left of one rule follows
// the order of routes.
func Bound(rules []Rule, routes []netip.Prefix) []Rule {
	if len(rules) == 0 {
		for _, r := range routes {
			rules = append(rules, Rule{Network: r})
		}
	}
	var bounded []Rule
	seen := make(map[string]bool, len(rules)) // by their text: there may be thousands
	for _, rule := range rules {
		for _, route := range routes {
			common, ok := intersect(rule.Network, route)
			if !ok {
				continue
			}
			part := Rule{Network: common, Protocol: rule.Protocol, Ports: rule.Ports}
			if text := part.String(); !seen[text] {
				seen[text] = true
				bounded = append(bounded, part)
			}
		}
	}
	return bounded
}

// CheckWithin refuses a rule that is not as a whole within the routes, because
// whoever wrote it expects all of it.
func CheckWithin(rule Rule, routes []netip.Prefix) error {
	for _, route := range routes {
		if common, ok := intersect(rule.Network, route); ok && common == rule.Network {
			return nil
		}
	}
	texts := make([]string, len(routes))
	for i, r := range routes {
		texts[i] = r.String()
	}
	return fmt.Errorf("%s is outside what peers may reach at that gateway: %s (TUNNEL_ROUTES)", rule.Network, strings.Join(texts, ", "))
}

// intersect is what two networks have in common: two networks that overlap lie
// one within the other.
func intersect(a, b netip.Prefix) (netip.Prefix, bool) {
	if !a.Overlaps(b) {
		return netip.Prefix{}, false
	}
	if a.Bits() > b.Bits() {
		return a, true
	}
	return b, true
}
