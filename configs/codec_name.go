package configs

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// domain is a domain name in lower case without leading or trailing dot.
var domain = codec[string]{name: "domain", parse: parseDomain, format: plain}

// hostName is a name of a host, or its address where the host has no name.
var hostName = codec[string]{
	name: "name",
	parse: func(text string) (string, error) {
		if _, err := netip.ParseAddr(text); err == nil {
			return text, nil
		}
		name := strings.TrimSuffix(text, ".")
		if err := checkName(name); err != nil {
			return "", err
		}
		return name, nil
	},
	format: plain,
}

// dialled is the host[:port] that others dial.
var dialled = codec[string]{
	name: "host[:port]",
	parse: func(text string) (string, error) {
		host, portText, hasPort := cutPort(text)
		if _, err := port.parse(portText); hasPort && err != nil {
			return "", errors.New("has a port that is not a number from 1 to 65535")
		}
		a, err := netip.ParseAddr(host)
		if err != nil {
			err = checkName(strings.TrimSuffix(host, "."))
		}
		if err != nil || a.IsUnspecified() || a.IsMulticast() {
			return "", errors.New("must be host or host:port, where host is a name or an address that clients can reach")
		}
		return text, nil
	},
	format: plain,
}

// LongestSocket is how many bytes the path of a Unix socket may have.
const LongestSocket = 107

// metricsSocket begins a METRICS_LISTEN that is a Unix socket.
const metricsSocket = "unix:"

// MetricsAddress splits a METRICS_LISTEN into a network and an address as package net
// has them; the address is "" where there are no metrics.
func MetricsAddress(listen string) (network, address string) {
	if path, ok := strings.CutPrefix(listen, metricsSocket); ok {
		return "unix", path
	}
	return "tcp", listen
}

// metricsListen is addr:port, :port or unix:/path; "" and off mean no listener.
var metricsListen = codec[string]{
	name: "addr:port|unix:/path|off",
	parse: func(text string) (string, error) {
		if text == "" || strings.EqualFold(text, "off") {
			return "", nil
		}
		if path, ok := strings.CutPrefix(text, metricsSocket); ok {
			if !strings.HasPrefix(path, "/") || len(path) > LongestSocket {
				return "", errors.New("must name a socket by its full path, of at most 107 bytes: unix:/path")
			}
			return text, nil
		}
		host, portText, ok := cutPort(text)
		if _, err := netip.ParseAddr(host); !ok || err != nil && host != "" {
			return "", errors.New("must be addr:port, :port or off; addresses are needed, not host names")
		}
		// Port 0 is let through: the system then picks a free one.
		if _, err := strconv.ParseUint(portText, 10, 16); err != nil {
			return "", errors.New("has a port that is not a number from 0 to 65535")
		}
		return text, nil
	},
	format: func(text string) string {
		if text == "" {
			return "off"
		}
		return text
	},
}

// consulAPI is an address as Consul's own client takes it.
var consulAPI = codec[string]{
	name: "URL",
	parse: func(text string) (string, error) {
		scheme, rest, hasScheme := strings.Cut(text, "://")
		switch {
		case !hasScheme:
			rest = text
		case scheme == "unix":
			if !strings.HasPrefix(rest, "/") {
				return "", errors.New("must name a socket by its full path: unix:///path")
			}
			return text, nil
		case scheme != "http" && scheme != "https":
			return "", errors.New("must be host:port, http://host:port, https://host:port or unix:///path")
		}
		u, err := url.Parse("http://" + rest)
		if err != nil || u.Hostname() == "" {
			return "", errors.New("must be host:port, http://host:port, https://host:port or unix:///path")
		}
		if u.User != nil {
			return "", errors.New("must not hold a user name or password; give an ACL token with CONSUL_HTTP_TOKEN_FILE")
		}
		return text, nil
	},
	format: plain,
}

// cutPort splits host, host:port, [v6], [v6]:port and a bare v6 address. What
// fits none of these comes back whole as the host.
func cutPort(text string) (host, port string, hasPort bool) {
	if _, err := netip.ParseAddr(text); err == nil {
		return text, "", false
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		host, rest, closed := strings.Cut(inner, "]")
		port, hasPort = strings.CutPrefix(rest, ":")
		if !closed || !hasPort && rest != "" {
			return text, "", false
		}
		return host, port, hasPort
	}
	colon := strings.LastIndexByte(text, ':')
	if colon < 0 {
		return text, "", false
	}
	return text[:colon], text[colon+1:], true
}

func parseDomain(text string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(text, "."), "."))
	if name == "" {
		return "", errors.New("must be a domain, not the root")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return "", errors.New("must be a domain, not an address")
	}
	return name, checkName(name)
}

// checkName accepts labels of letters, digits, hyphens and underscores. The
// underscore is no part of host names, but service names hold it.
func checkName(name string) error {
	const maxName, maxLabel = 253, 63
	if len(name) > maxName {
		return fmt.Errorf("must be at most %d characters long", maxName)
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return errors.New("must be labels separated by single dots")
		case len(label) > maxLabel:
			return fmt.Errorf("must have labels of at most %d characters", maxLabel)
		case label[0] == '-' || label[len(label)-1] == '-':
			return errors.New("must not have a label that begins or ends with a hyphen")
		case strings.ContainsFunc(label, func(r rune) bool { return !isNameRune(r) }):
			return errors.New("must consist of letters, digits, hyphens, underscores and dots")
		}
	}
	return nil
}

func isNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// isUnder tells whether name is the domain itself or a name below it.
func isUnder(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}
