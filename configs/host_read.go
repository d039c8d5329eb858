package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// ReadHost collects the facts of this machine. Facts that cannot be read are
// left out and the error says which; the rest can be used.
func ReadHost() (HostFacts, error) {
	var facts HostFacts
	var problems []error
	name, err := os.Hostname()
	if err != nil {
		problems = append(problems, fmt.Errorf("cannot read this host's name: %w", err))
	}
	facts.Hostname = name
	// Missing files are no error: a container may come without /etc/hosts, a
	// host without IPv6 without its routes.
	for path, use := range map[string]func(string){
		"/etc/hosts":           func(text string) { facts.HostsFile = text },
		"/etc/passwd":          func(text string) { facts.Users = userNames(text) },
		"/proc/net/route":      func(text string) { facts.DefaultInterface = defaultRoute(text) },
		"/proc/net/ipv6_route": func(text string) { facts.DefaultInterface6 = defaultRoute6(text) },
	} {
		text, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
		use(string(text))
	}
	facts.Interfaces, err = readInterfaces()
	if err != nil {
		problems = append(problems, fmt.Errorf("cannot list the network interfaces: %w", err))
	}
	return facts, errors.Join(problems...)
}

func readInterfaces() ([]Interface, error) {
	found, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var list []Interface
	for _, i := range found {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			// It went away since it was listed.
			continue
		}
		entry := Interface{Name: i.Name}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				entry.Addrs = append(entry.Addrs, p.Addr().Unmap())
				entry.Networks = append(entry.Networks, p)
			}
		}
		list = append(list, entry)
	}
	return list, nil
}

// userNames are the first fields of /etc/passwd.
func userNames(passwd string) []string {
	var names []string
	for line := range strings.Lines(passwd) {
		if name, _, ok := strings.Cut(line, ":"); ok && name != "" {
			names = append(names, name)
		}
	}
	return names
}

// The flags of a route, from linux/route.h.
const (
	routeUp     = 0x0001
	routeReject = 0x0200
)

// defaultRoute reads /proc/net/route and names the interface of the default
// route with the lowest metric.
func defaultRoute(text string) string {
	const iface, destination, flags, metric, mask = 0, 1, 3, 6, 7
	return bestRoute(text, 8, func(f []string) (string, uint64, uint64, bool) {
		m, err := strconv.ParseUint(f[metric], 10, 32)
		fl, err2 := strconv.ParseUint(f[flags], 16, 32)
		isDefault := f[destination] == "00000000" && f[mask] == "00000000"
		return f[iface], m, fl, isDefault && err == nil && err2 == nil
	})
}

// defaultRoute6 reads /proc/net/ipv6_route likewise.
func defaultRoute6(text string) string {
	const destination, length, metric, flags, iface = 0, 1, 5, 8, 9
	return bestRoute(text, 10, func(f []string) (string, uint64, uint64, bool) {
		m, err := strconv.ParseUint(f[metric], 16, 32)
		fl, err2 := strconv.ParseUint(f[flags], 16, 32)
		isDefault := strings.Trim(f[destination], "0") == "" && f[length] == "00" && f[iface] != "lo"
		return f[iface], m, fl, isDefault && err == nil && err2 == nil
	})
}

func bestRoute(text string, columns int, read func(fields []string) (iface string, metric, flags uint64, ok bool)) string {
	best, bestMetric := "", uint64(0)
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < columns {
			continue
		}
		iface, metric, flags, ok := read(fields)
		if !ok || flags&routeUp == 0 || flags&routeReject != 0 {
			continue
		}
		if best == "" || metric < bestMetric {
			best, bestMetric = iface, metric
		}
	}
	return best
}
