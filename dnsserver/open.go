package dnsserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"panteras/dnsserver/listen"
)

// HeldName is the name (LISTEN_FDNAMES) of sockets that come from Open. A server that
// is started with them opens the others that its settings ask for itself, and follows
// the addresses of the host; sockets of any other name are all that it listens on.
const HeldName = "panteras"

// Open opens the sockets of one listening address, for a process that holds them while
// servers come and go: they are handed over as [HeldName]. Where others hold single
// addresses of a wildcard one, there are sockets for each that is left. None and no
// error means that the address is not on this host, yet.
//
// beside tells that this process holds sockets on the same port already, which an
// address may overlap with.
func Open(addr netip.AddrPort, beside bool, log *slog.Logger) ([]*os.File, error) {
	bind := listen.Bind
	if beside {
		bind = listen.BindBeside
	}
	s, err := bind(addr, eventLoops)
	var inUse *listen.InUseError
	var away *listen.NotHereError
	switch {
	case err == nil:
		return s.Files()
	case errors.As(err, &away), addr.Addr().Is6() && addr.Addr().IsUnspecified() && errors.Is(err, unix.EAFNOSUPPORT):
		return nil, nil
	case !addr.Addr().IsUnspecified() || !errors.As(err, &inUse) || heldWhole(inUse):
		return nil, err
	}
	log.Warn("another server holds some addresses of this port: binding the others one by one", "address", addr.String(), "reason", err)
	all, listErr := listen.HostAddresses()
	if listErr != nil {
		return nil, listErr
	}
	var files []*os.File
	for _, a := range all {
		if a.Is4() != addr.Addr().Is4() {
			continue
		}
		s, failed := bind(netip.AddrPortFrom(a, addr.Port()), eventLoops)
		if failed != nil {
			log.Warn("left out", "address", a.String(), "reason", failed)
			continue
		}
		more, failed := s.Files()
		if failed != nil {
			for _, f := range files {
				_ = f.Close()
			}
			return nil, failed
		}
		files = append(files, more...)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no address is left: %w", err)
	}
	return files, nil
}

// held tells whether all sockets that were handed over come from Open.
func held(inherited []*listen.Sockets) bool {
	return !slices.ContainsFunc(inherited, func(s *listen.Sockets) bool { return s.Name != HeldName })
}
