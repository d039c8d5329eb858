package dnsserver

import (
	"errors"
	"io/fs"
	"net/netip"

	"panteras/internal/resolv"
)

// Where the host's recursors are looked for. The copy is what was there before resolv.conf was pointed at us. systemd-resolved shows only its stub in
// resolv.conf, and the recursors in a file of its own.
const (
	resolvCopy    = resolv.Copy
	resolvConf    = resolv.File
	resolvSystemd = "/run/systemd/resolve/resolv.conf"
)

// stubs are the addresses of systemd-resolved (systemd-resolved.service(8)): asking it would ask us back.
var stubs = map[netip.Addr]bool{resolv.Stub: true, netip.MustParseAddr("127.0.0.54"): true}

// readRecursors finds the recursors of the host, and says which file told. read is os.ReadFile. An error means that nothing is known of them now: a file
// that is there could not be read, or the one that should tell is not there (fs.ErrNotExist).
func readRecursors(read func(string) ([]byte, error)) (servers []netip.AddrPort, file string, err error) {
	for _, file = range []string{resolvCopy, resolvConf} {
		b, err := read(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, file, err
		}
		servers = parseResolvConf(b)
		if !hasStub(servers) {
			return servers, file, nil
		}
		b, err = read(resolvSystemd)
		others := withoutStub(servers)
		switch {
		case errors.Is(err, fs.ErrNotExist) && len(others) > 0:
			return others, file, nil
		case err != nil:
			return nil, resolvSystemd, err
		}
		return withoutStub(parseResolvConf(b)), resolvSystemd, nil
	}
	return nil, resolvConf, fs.ErrNotExist
}

func hasStub(servers []netip.AddrPort) bool {
	return len(withoutStub(servers)) < len(servers)
}

func withoutStub(servers []netip.AddrPort) (kept []netip.AddrPort) {
	for _, s := range servers {
		if !stubs[s.Addr()] {
			kept = append(kept, s)
		}
	}
	return kept
}

// parseResolvConf reads the nameserver lines (resolv.conf(5)); others do not concern a server.
func parseResolvConf(b []byte) (servers []netip.AddrPort) {
	for _, a := range resolv.Nameservers(string(b)) {
		servers = append(servers, netip.AddrPortFrom(a, 53))
	}
	return servers
}

// hostsFile is served as local names.
const hostsFile = "/etc/hosts"
