package host

import (
	"errors"
	"os"
	"slices"

	"panteras/launcher"
	"panteras/launcher/proc"
)

// socketName is the name in LISTEN_FDNAMES of sockets that the launcher holds. The
// server opens others itself, such as those of addresses that appear later.
const socketName = "panteras"

// sockets are the sockets that are held for daemons, so that they stay open while no
// process serves them.
type sockets struct {
	// open opens the sockets of one address; it returns none if it is not on this host
	// yet. beside tells that this process holds another socket on the same port.
	open func(s launcher.Socket, beside bool) ([]*os.File, error)
	held map[string][]heldSocket
	// missing are daemons of which an address was not on this host: their process opens
	// it itself when it comes, and no other process can have it beside that one.
	missing map[string]bool
}

type heldSocket struct {
	Socket launcher.Socket
	files  []*os.File
}

// of returns the sockets of a daemon, and opens those that are not open yet. Those
// that it does not want any more are closed.
func (s *sockets) of(d launcher.Daemon) ([]proc.Listener, error) {
	var keep []heldSocket
	var list []proc.Listener
	had := s.held[d.Name]
	missing := false
	for _, want := range d.Sockets {
		i := slices.IndexFunc(had, func(h heldSocket) bool { return h.Socket == want })
		if i < 0 {
			beside := slices.ContainsFunc(had, func(h heldSocket) bool { return h.Socket.Addr.Port() == want.Addr.Port() })
			files, err := s.open(want, beside)
			if err != nil {
				for _, h := range keep {
					if !slices.ContainsFunc(had, func(o heldSocket) bool { return o.Socket == h.Socket }) {
						_ = h.close()
					}
				}
				return nil, err
			}
			if len(files) == 0 {
				missing = true
				continue
			}
			keep = append(keep, heldSocket{want, files})
		} else {
			keep = append(keep, had[i])
		}
		for _, f := range keep[len(keep)-1].files {
			list = append(list, proc.Listener{Name: socketName, File: f})
		}
	}
	for _, h := range had {
		if !slices.ContainsFunc(keep, func(k heldSocket) bool { return k.Socket == h.Socket }) {
			_ = h.close()
		}
	}
	s.held[d.Name], s.missing[d.Name] = keep, missing
	return list, nil
}

func (h heldSocket) close() error {
	var errs []error
	for _, f := range h.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// close closes everything.
func (s *sockets) close() {
	for _, list := range s.held {
		for _, h := range list {
			_ = h.close()
		}
	}
	s.held = map[string][]heldSocket{}
}

// handedSocket is a [heldSocket] on its way to another program.
type handedSocket struct {
	Socket launcher.Socket `json:"socket"`
	FDs    []int           `json:"fds"`
}

// handOver gives away what another program needs, and the files behind it.
func (s *sockets) handOver() (all map[string][]handedSocket, files []*os.File) {
	all = map[string][]handedSocket{}
	for name, list := range s.held {
		for _, h := range list {
			one := handedSocket{Socket: h.Socket}
			for _, f := range h.files {
				one.FDs = append(one.FDs, int(f.Fd()))
			}
			files = append(files, h.files...)
			all[name] = append(all[name], one)
		}
	}
	return all, files
}

// adopt takes sockets over.
func (s *sockets) adopt(all map[string][]handedSocket) {
	for name, list := range all {
		for _, one := range list {
			h := heldSocket{Socket: one.Socket}
			for _, fd := range one.FDs {
				h.files = append(h.files, inheritedFile(fd, socketName))
			}
			s.held[name] = append(s.held[name], h)
		}
	}
}
