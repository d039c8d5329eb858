package tunnel

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Protocol is what a rule speaks of.
type Protocol string

// The protocols of rules.
const (
	// AnyProtocol is every protocol, ICMP included.
	AnyProtocol Protocol = ""
	TCP         Protocol = "tcp"
	UDP         Protocol = "udp"
)

// Rule is something a peer may reach. Its text is CIDR[:tcp|udp[/ports]], such as
// 10.1.0.0/16, 10.1.0.7:udp and fd00:1::/64:tcp/80,8000-8100.
type Rule struct {
	// Network is masked, and never a mapped IPv4 network.
	Network netip.Prefix
	// Protocol is AnyProtocol, TCP or UDP.
	Protocol Protocol
	// Ports are sorted and apart from each other; empty means every port. Only
	// TCP and UDP have ports.
	Ports []PortRange
}

// PortRange is the ports from First to Last, both included and neither 0.
type PortRange struct{ First, Last uint16 }

// ParseRule reads the text of a rule.
func ParseRule(text string) (Rule, error) {
	bad := func(why string) error {
		return fmt.Errorf("%q is not CIDR[:tcp|udp[/ports]], such as 10.1.0.0/16 or 10.1.0.0/16:tcp/80,443: %s", text, why)
	}
	var r Rule
	network := text
	// A network of IPv6 holds colons itself, but never a t or a u.
	for _, p := range []Protocol{TCP, UDP} {
		before, after, ok := strings.Cut(text, ":"+string(p))
		if !ok {
			continue
		}
		network, r.Protocol = before, p
		if after == "" {
			break
		}
		list, ok := strings.CutPrefix(after, "/")
		if !ok {
			return Rule{}, bad("after the protocol come / and ports")
		}
		ports, err := parsePorts(list)
		if err != nil {
			return Rule{}, bad(err.Error())
		}
		r.Ports = ports
	}
	var err error
	r.Network, err = parseNetwork(network)
	if err != nil {
		return Rule{}, bad(err.Error())
	}
	return r, nil
}

// String is the text that [ParseRule] reads.
func (r Rule) String() string {
	text := r.Network.String()
	if r.Protocol == AnyProtocol {
		return text
	}
	text += ":" + string(r.Protocol)
	for i, p := range r.Ports {
		text += map[bool]string{true: "/", false: ","}[i == 0] + p.String()
	}
	return text
}

// MarshalText implements encoding.TextMarshaler.
func (r Rule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rule) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRule(string(text))
	return err
}

// Equal tells whether two rules allow the same.
func (r Rule) Equal(other Rule) bool {
	return r.Network == other.Network && r.Protocol == other.Protocol && slices.Equal(r.Ports, other.Ports)
}

// Check tells what is wrong with a rule that was not made by [ParseRule].
func (r Rule) Check() error {
	again, err := ParseRule(r.String())
	if err == nil && !again.Equal(r) {
		err = fmt.Errorf("the rule %s is not written as it should be: %s", r, again)
	}
	return err
}

// String is one port, or two with a dash.
func (p PortRange) String() string {
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

func parseNetwork(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not a network", text)
	}
	return p.Masked(), nil
}

// parsePorts reads ports and ranges of ports, separated by commas.
func parsePorts(list string) ([]PortRange, error) {
	var ports []PortRange
	for item := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		from, err := parsePort(first)
		if err != nil {
			return nil, err
		}
		to, err := parsePort(last)
		if err != nil {
			return nil, err
		}
		if from > to {
			return nil, fmt.Errorf("the ports %s run backwards", item)
		}
		ports = append(ports, PortRange{from, to})
	}
	slices.SortFunc(ports, func(a, b PortRange) int { return cmp.Compare(a.First, b.First) })
	merged := ports[:1]
	for _, p := range ports[1:] {
		end := &merged[len(merged)-1]
		if uint32(p.First) > uint32(end.Last)+1 {
			merged = append(merged, p)
			continue
		}
		end.Last = max(end.Last, p.Last)
	}
	return merged, nil
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, errors.New("ports are numbers from 1 to 65535")
	}
	return uint16(n), nil
}
