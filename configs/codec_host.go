package configs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// HostPort is a server by its name or address.
type HostPort struct {
	// Host is a name, or an address without brackets.
	Host string
	Port uint16
}

// String is host:port, with brackets around an IPv6 address.
func (h HostPort) String() string { return net.JoinHostPort(h.Host, strconv.Itoa(int(h.Port))) }

// ensemble is ZOOKEEPER_HOSTS: position i is the server with the id i.
var ensemble = codec[[]HostPort]{
	name: "hosts",
	parse: func(text string) ([]HostPort, error) {
		const largest = 255
		var list []HostPort
		for _, item := range splitList(text) {
			host, portText, hasPort := cutPort(item)
			if err := checkHost(host); err != nil {
				return nil, fmt.Errorf("holds %s: %w", quote(item), err)
			}
			h := HostPort{Host: strings.TrimSuffix(host, "."), Port: zooKeeperPort}
			if hasPort {
				p, err := port.parse(portText)
				if err != nil {
					return nil, fmt.Errorf("holds %s, whose port is not a number from 1 to 65535", quote(item))
				}
				h.Port = p
			}
			if slices.Contains(list, h) {
				return nil, fmt.Errorf("lists %s twice", h)
			}
			list = append(list, h)
		}
		if len(list) == 0 || len(list) > largest {
			return nil, fmt.Errorf("must list 1 to %d servers host[:port], separated by commas", largest)
		}
		return list, nil
	},
	format: func(list []HostPort) string {
		texts := make([]string, len(list))
		for i, h := range list {
			texts[i] = h.String()
		}
		return strings.Join(texts, ",")
	},
}

// joined is a list of Consul agents to join, as plain hosts or as the flags that
// PanteraS had. The prefixes are the flags that are understood.
func joined(flags ...string) codec[[]string] {
	return codec[[]string]{
		name: "hosts",
		parse: func(text string) ([]string, error) {
			given, err := splitWords(text)
			if err != nil {
				return nil, err
			}
			var list []string
			for i := 0; i < len(given); i++ {
				value := given[i]
				if strings.HasPrefix(value, "-") {
					flag, rest, ok := strings.Cut(strings.TrimLeft(value, "-"), "=")
					if !slices.Contains(flags, flag) {
						return nil, fmt.Errorf("holds %s: only hosts, or hosts with -%s=, belong here; put other flags into CONSUL_PARAMS", quote(MaskWords([]string{value})[0]), flags[0])
					}
					if !ok {
						if i++; i == len(given) {
							return nil, fmt.Errorf("ends with %s and no host after it", quote(value))
						}
						rest = given[i]
					}
					value = rest
				}
				items := splitList(value)
				if strings.Contains(value, "provider=") { // cloud auto-join: blanks belong to it
					items = []string{value}
				}
				for _, item := range items {
					if host, _, _ := cutPort(item); !strings.Contains(item, "provider=") && checkHost(host) != nil {
						return nil, fmt.Errorf("holds %s, which is neither an address nor a name of a host", quote(item))
					}
					if !slices.Contains(list, item) {
						list = append(list, item)
					}
				}
			}
			if list == nil {
				return nil, errors.New("must list hosts, separated by blanks")
			}
			return list, nil
		},
		format: joinWords,
	}
}

// checkHost accepts an address of one host or a name.
func checkHost(host string) error {
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return checkName(strings.TrimSuffix(host, "."))
	case a.IsUnspecified() || a.IsMulticast():
		return errors.New("this is not the address of one host")
	}
	return nil
}

// listenPoint is one addr:port to listen on.
var listenPoint = codec[netip.AddrPort]{
	name: "addr:port",
	parse: func(text string) (netip.AddrPort, error) {
		a, err := netip.ParseAddrPort(text)
		if err != nil || a.Port() == 0 || a.Addr().IsMulticast() {
			return netip.AddrPort{}, errors.New("must be addr:port; addresses are needed, not host names")
		}
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
	},
	format: netip.AddrPort.String,
}

var folder = codec[string]{
	name: "folder",
	parse: func(text string) (string, error) {
		if !path.IsAbs(text) || path.Clean(text) == "/" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' }) {
			return "", errors.New("must be the full path of a folder of its own, without blanks")
		}
		return path.Clean(text), nil
	},
	format: plain,
}

var userPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

var user = codec[string]{
	name: "user",
	parse: func(text string) (string, error) {
		if !userPattern.MatchString(text) {
			return "", errors.New("must be the name of a user")
		}
		return text, nil
	},
	format: plain,
}

var dataCentrePattern = regexp.MustCompile(`^[a-z0-9_-]+$`)

// dataCentre is in lower case, because Consul makes it so.
var dataCentre = codec[string]{
	name: "name",
	parse: func(text string) (string, error) {
		name := strings.ToLower(text)
		if !dataCentrePattern.MatchString(name) {
			return "", errors.New("must consist of letters, digits, hyphens and underscores")
		}
		return name, nil
	},
	format: plain,
}

var clusterName = codec[string]{
	name: "text",
	parse: func(text string) (string, error) {
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
			return "", errors.New("must be one line of text")
		}
		return text, nil
	},
	format: plain,
}

// consulMode is -server, or blank for a client.
var consulMode = codec[bool]{
	name: "-server|blank",
	parse: func(text string) (bool, error) {
		switch strings.TrimSpace(text) {
		case "":
			return false, nil
		case "-server":
			return true, nil
		}
		return false, errors.New("must be -server, or a single blank for a client")
	},
	format: func(server bool) string {
		if server {
			return "-server"
		}
		return " "
	},
}
