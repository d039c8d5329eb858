package dnsserver

import (
	"errors"
	"maps"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"panteras/dnsserver/listen"
	"panteras/internal/holder"
)

// binder keeps the listening sockets in step with the settings and with the addresses of the host. Its methods are called with Server.mu held.
type binder struct {
	srv *Server
	// bound are the addresses that are listened on.
	bound []netip.AddrPort
	// spread are the wildcard addresses that collided with somebody's socket: every address of the host is bound one by one instead.
	spread map[netip.AddrPort]bool
	// missing are the addresses that should be listened on and cannot be, yet.
	missing []netip.AddrPort
	// told are the addresses whose absence, or whose holder, has been logged.
	told map[netip.AddrPort]string
}

// start opens everything, or takes over what was handed to the process.
func (b *binder) start() error {
	b.spread, b.told = map[netip.AddrPort]bool{}, map[netip.AddrPort]string{}
	if len(b.srv.inherited) > 0 {
		for _, s := range b.srv.inherited {
			b.srv.log.Info("listening on a socket that was handed over", "address", s.Addr.String())
			if err := b.give(s); err != nil {
				return err
			}
		}
	}
	return b.sync()
}

// sync binds what should be bound and is not, and gives up what should not be; with an error, it gives up nothing.
func (b *binder) sync() error {
	if len(b.srv.inherited) > 0 && !held(b.srv.inherited) {
		return nil // whoever opened the sockets decides about them
	}
	maps.DeleteFunc(b.spread, func(a netip.AddrPort, _ bool) bool { return !slices.Contains(b.srv.settings.DNSListen, a) })
	want, errs := []netip.AddrPort{}, []error{}
	for _, a := range b.srv.settings.DNSListen {
		if b.spread[a] {
			list, _, err := b.bindEach(a)
			if err != nil {
				errs = append(errs, err)
			}
			want = append(want, list...)
			continue
		}
		err := b.bind(a)
		var inUse *listen.InUseError
		switch {
		case err == nil:
			want = append(want, a)
		case a.Addr().IsUnspecified() && errors.As(err, &inUse) && !heldWhole(inUse):
			b.spread[a] = true
			b.srv.log.Warn("another server holds some addresses of this port: binding the others one by one", "address", a.String(), "reason", err)
			list, failed, err := b.bindEach(a)
			if err != nil {
				errs = append(errs, err)
			}
			if len(failed) == len(list) { // as next to a second copy of this program
				errs = append(errs, failed...)
			}
			want = append(want, list...)
		case a.Addr().Is6() && a.Addr().IsUnspecified() && !b.srv.settings.DNSListenSet && errors.Is(err, unix.EAFNOSUPPORT):
			// a host without IPv6
		default:
			if err = b.wait(a, err); err != nil {
				errs = append(errs, err)
			} else {
				want = append(want, a)
			}
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	b.giveUp(want)
	b.missing = slices.DeleteFunc(want, func(a netip.AddrPort) bool { return slices.Contains(b.bound, a) })
	return nil
}

// vacant says whether an address that was taken, or not there, can be had now.
func (b *binder) vacant() bool { return slices.ContainsFunc(b.missing, listen.Vacant) }

// heldWhole says whether somebody has the wildcard address itself, so that nothing is left for us. Our own sockets of before a reload
// have it only until their last query is answered.
func heldWhole(e *listen.InUseError) bool {
	for _, h := range e.Holders {
		if h.Addr.Addr().IsUnspecified() && h.PID != os.Getpid() {
			return true
		}
	}
	return len(e.Holders) == 0
}

// bindEach binds each address of the host instead of a wildcard one, and says which ones there are and why some could not be bound.
func (b *binder) bindEach(wild netip.AddrPort) (list []netip.AddrPort, failed []error, err error) {
	list, err = b.hostAddresses(wild)
	for _, h := range list {
		if err := b.bind(h); err != nil {
			b.tell(h, err)
			failed = append(failed, err)
		}
	}
	return list, failed, err
}

// hostAddresses are the addresses of the host that a wildcard one stands for.
func (b *binder) hostAddresses(wild netip.AddrPort) (list []netip.AddrPort, err error) {
	all, err := listen.HostAddresses()
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if a.Is4() == wild.Addr().Is4() {
			list = append(list, netip.AddrPortFrom(a, wild.Port()))
		}
	}
	return list, nil
}

// bind listens on one address, if that is not done already.
func (b *binder) bind(a netip.AddrPort) error {
	if slices.Contains(b.bound, a) {
		return nil
	}
	open := listen.Bind
	if b.covers(a) {
		open = listen.BindBeside
	}
	s, err := open(a, len(b.srv.workers))
	var inUse *listen.InUseError
	if errors.As(err, &inUse) && b.ours(inUse) {
		s, err = listen.BindBeside(a, len(b.srv.workers)) // around addresses that we have already
	}
	if err != nil {
		return err
	}
	delete(b.told, a)
	b.srv.log.Info("listening", "address", a.String())
	return b.give(s)
}

// ours says whether nothing keeps an address from being bound but what we listen on.
func (b *binder) ours(e *listen.InUseError) bool {
	return len(e.Holders) > 0 && !slices.ContainsFunc(e.Holders, func(h holder.Holder) bool {
		return h.PID != os.Getpid() || !slices.Contains(b.bound, h.Addr)
	})
}

// covers says whether we listen on the wildcard address that an address belongs to. It is about to be given up then; no query must be lost in between.
func (b *binder) covers(a netip.AddrPort) bool { return covered(b.bound, a) }

// covered says whether the wildcard address that an address belongs to is in the list.
func covered(list []netip.AddrPort, a netip.AddrPort) bool {
	return !a.Addr().IsUnspecified() && slices.ContainsFunc(list, func(o netip.AddrPort) bool {
		return o.Addr().IsUnspecified() && o.Port() == a.Port() && o.Addr().Is4() == a.Addr().Is4()
	})
}

// give hands sockets to the workers and to the TCP side.
func (b *binder) give(s *listen.Sockets) error {
	b.bound = append(b.bound, s.Addr)
	key := s.Addr.String()
	var errs []error
	for i, w := range b.srv.workers {
		if len(s.UDP) == 0 {
			break
		}
		fd := s.UDP[i%len(s.UDP)]
		shared := s.Shared && len(s.UDP) < len(b.srv.workers)
		if i >= len(s.UDP) {
			dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			fd = dup
		}
		w.call(func() {
			if err := w.listen(&listenSocket{fd: fd, key: key, shared: shared}); err != nil {
				errs = append(errs, err)
			}
		})
	}
	if s.TCP != nil {
		b.srv.tcp.serve(key, s.TCP)
	}
	return errors.Join(errs...)
}

// wait accepts that an address is not on this host yet; any other error stays one.
func (b *binder) wait(a netip.AddrPort, err error) error {
	var away *listen.NotHereError
	if !errors.As(err, &away) {
		return err
	}
	b.tell(a, err)
	return nil
}

// tell logs once what an address is not listened on for.
func (b *binder) tell(a netip.AddrPort, err error) {
	if b.told[a] == err.Error() {
		return
	}
	b.told[a] = err.Error()
	b.srv.log.Warn("left out for now; listened on as soon as it is there and free", "address", a.String(), "reason", err)
}

// giveUp stops listening on addresses that are not wanted any more. One that a wanted wildcard address includes stays: its queries would be lost otherwise.
func (b *binder) giveUp(want []netip.AddrPort) {
	kept := b.bound[:0]
	for _, a := range b.bound {
		if slices.Contains(want, a) || covered(want, a) {
			kept = append(kept, a)
			continue
		}
		key := a.String()
		b.srv.log.Info("not listening any more", "address", key)
		for _, w := range b.srv.workers {
			w.call(func() { w.unlisten(key) })
		}
		b.srv.tcp.stop(key)
	}
	b.bound = kept
}
