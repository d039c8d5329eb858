package host

import (
	"sync/atomic"

	"panteras/launcher"
	"panteras/launcher/guard"
)

// floats is the floating address of a process that may be killed with it; see
// [launcher.Floating].
type floats struct {
	address atomic.Pointer[launcher.Floating]
	over    chan struct{} // closed when it was taken away; nil if there is none
}

// prepareFloating takes away what a process of another run has left, and tells the guard of
// what the next one may leave.
func (h *Host) prepareFloating(d launcher.Daemon) {
	if d.Floating.Addr.IsValid() {
		h.dropFloating(d.Floating)
		h.o.Link.Floats(d.Floating)
	}
}

// keepFloating takes the address away as soon as the process has gone.
func (h *Host) keepFloating(p *process, f launcher.Floating) {
	if !f.Addr.IsValid() {
		return
	}
	p.address.Store(&f)
	p.over = make(chan struct{})
	go func() {
		<-p.Process.Gone()
		h.dropFloating(*p.address.Load())
		close(p.over)
	}()
}

// changeFloating is for a process that takes another address by itself.
func (h *Host) changeFloating(p *process, f launcher.Floating) {
	if p.over != nil && f.Addr.IsValid() {
		h.o.Link.Floats(f)
		p.address.Store(&f)
	}
}

func (h *Host) dropFloating(f launcher.Floating) {
	if err := guard.RemoveFloating(f); err != nil {
		h.o.Log.Error("another host cannot use the floating address", "error", err)
	}
}
