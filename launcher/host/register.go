package host

import (
	"context"
	"time"

	"panteras/configs"
	"panteras/launcher"
	"panteras/launcher/register"
	"panteras/launcher/rights"
)

// registerPoll is how often it is looked whether the agent still knows the services.
const registerPoll = 30 * time.Second

// registerLoop keeps Consul told until ctx is done.
func (h *Host) registerLoop(ctx context.Context) {
	ticker := time.NewTicker(registerPoll)
	defer ticker.Stop()
	var syncer *register.Syncer
	watch := rights.NewWatch(h.o.Log)
	var settings *configs.Settings // that it was made of
	var status launcher.Status
	for {
		select {
		case <-ctx.Done():
			return
		case status = <-h.changes:
		case <-ticker.C:
		}
		loaded, plan := h.current()
		if settings != &loaded.Settings {
			settings = &loaded.Settings
			syncer = register.New(settings, h.o.Log)
		}
		if ready(status, "consul") || !runs(plan, "consul") {
			_ = syncer.Sync(ctx, register.Services(settings, plan.Daemons, status)) // it logs what is wrong
			watch.Look(ctx, settings, plan.Daemons)
		}
	}
}

// ready tells whether a daemon is.
func ready(s launcher.Status, name string) bool {
	d, _ := daemonOf(s, name)
	return d.Ready
}

// daemonOf finds a daemon in a status.
func daemonOf(s launcher.Status, name string) (launcher.DaemonStatus, bool) {
	for _, d := range s.Daemons {
		if d.Name == name {
			return d, true
		}
	}
	return launcher.DaemonStatus{}, false
}

// runs tells whether a plan runs a daemon on this host. A Consul that it does not run
// may be somebody else's.
func runs(p *launcher.Plan, name string) bool {
	for _, d := range p.Daemons {
		if d.Name == name {
			return d.Run
		}
	}
	return false
}

// farewell takes everything out of Consul again.
func (h *Host) farewell(ctx context.Context) {
	h.stopRegister()
	loaded, plan := h.current()
	if runs(plan, "consul") && !ready(h.last(), "consul") {
		return // it is not there to be asked
	}
	_ = register.New(&loaded.Settings, h.o.Log).DeregisterAll(ctx) // it logs what is wrong
}
