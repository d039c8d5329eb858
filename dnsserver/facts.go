package dnsserver

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"panteras/dnsserver/listen"
	"panteras/internal/holder"
)

// pollInterval is how often the watched files are compared. Polling sees a file that is replaced, mounted over or behind a link, which inotify does not.
const pollInterval = time.Second

// readFacts looks at the host. What cannot be read, because descriptors have run out for example, is taken to be as before.
func readFacts(before facts) facts {
	f := facts{own: before.own, hosts: before.hosts, recursors: before.recursors, file: before.file, foreign: heldByAnother}
	if b, err := os.ReadFile(hostsFile); err == nil || errors.Is(err, fs.ErrNotExist) {
		f.hosts = b
	}
	servers, file, err := readRecursors(os.ReadFile)
	switch {
	case err == nil:
		f.recursors, f.file = servers, file
	case f.file == "": // at the start there is no before
		f.file = file
	case errors.Is(err, fs.ErrNotExist):
		f.gone = file
	}
	if addrs, err := listen.HostAddresses(); err == nil {
		f.own = map[netip.Addr]bool{}
		for _, a := range addrs {
			f.own[a.WithZone("")] = true
		}
	}
	return f
}

// emptied says whether a file that said something says nothing now. Whoever writes it in place empties it first.
func (f *facts) emptied(before *facts) bool {
	return (len(f.recursors) == 0 && len(before.recursors) > 0) || (len(f.hosts) == 0 && len(before.hosts) > 0)
}

func heldByAnother(a netip.AddrPort) bool {
	return slices.ContainsFunc(holder.Find(a, "udp"), func(h holder.Holder) bool {
		return h.Addr == a && h.PID != os.Getpid()
	})
}

func (f *facts) equal(o *facts) bool {
	return f.file == o.file && bytes.Equal(f.hosts, o.hosts) && slices.Equal(f.recursors, o.recursors) && slices.Equal(f.tunnel, o.tunnel) && maps.Equal(f.own, o.own)
}

// watch follows /etc/resolv.conf, /etc/hosts and the host's addresses until ctx is done.
func (s *Server) watch(ctx context.Context) {
	changes := make(chan netlink.AddrUpdate, 16)
	done := make(chan struct{})
	defer close(done)
	if err := netlink.AddrSubscribe(changes, done); err != nil {
		s.log.Warn("cannot follow address changes at once, only once a second", "error", err)
		changes = nil
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var emptySince time.Time
	var gone string
	for {
		force := false
		select {
		case <-ctx.Done():
			return
		case _, ok := <-changes:
			if !ok {
				changes = nil
			}
			force = true // an address that could not be bound may be there now
		case <-tick.C:
		}
		s.mu.Lock()
		before := s.facts
		now := s.look()
		if !now.emptied(&before) {
			emptySince = time.Time{}
		} else if emptySince.IsZero() {
			emptySince = time.Now()
		}
		if !emptySince.IsZero() && time.Since(emptySince) < pollInterval {
			now.hosts, now.recursors, now.file = before.hosts, before.recursors, before.file
		}
		same := now.equal(&before)
		recursors := s.settings.DNSUpstreams == nil && !slices.Equal(now.recursors, before.recursors)
		force = force || s.binder.vacant()
		s.mu.Unlock()
		if now.gone != gone {
			if gone = now.gone; gone != "" {
				s.log.Warn("the file that names the recursors is gone, or is a link to nowhere; those that it named last stay in use", "file", gone)
			}
		}
		if same && !force {
			continue
		}
		s.refresh(now)
		if recursors {
			s.log.Info("recursors changed", "file", now.file, "servers", now.recursors)
			s.probeLoops()
		}
	}
}
