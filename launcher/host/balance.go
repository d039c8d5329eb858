package host

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"panteras/launcher"
	"panteras/launcher/balancer"
	"panteras/launcher/proc"
)

const (
	// balancePoll is how often it is looked whether a snapshot is to be tried again.
	balancePoll = time.Second
	// balanceTime is how long that may take, as with consul-template.
	balanceTime = 90 * time.Second
	// firstRetry and mostRetry are the pauses between tries.
	firstRetry, mostRetry = time.Second, time.Minute
)

// balanceLoop has the last snapshot of services tried again while it is not in effect,
// until ctx is done: consul-template does not, before something changes in Consul.
func (h *Host) balanceLoop(ctx context.Context) {
	ticker := time.NewTicker(balancePoll)
	defer ticker.Stop()
	var r retries
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		_, plan := h.current()
		dir := filepath.Join(h.settings().RunDir, "haproxy")
		haproxy, _ := daemonOf(h.last(), "haproxy")
		if !runs(plan, "haproxy") || balancer.Applying(filepath.Join(h.settings().StateDir, "haproxy")) || !r.due(time.Now(), balancer.PendingSince(dir), haproxy) {
			continue
		}
		h.retryBalancer(ctx, plan)
		r.tried(time.Now(), balancer.PendingSince(dir))
	}
}

// retryBalancer runs the command as consul-template would, in whose log it tells what
// becomes of it.
func (h *Host) retryBalancer(ctx context.Context, plan *launcher.Plan) {
	i := slices.IndexFunc(plan.Daemons, func(d launcher.Daemon) bool { return d.Name == "consul-template" })
	if i < 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, balanceTime)
	defer cancel()
	if err := h.runRetry(ctx, plan.Daemons[i]); err != nil && ctx.Err() == nil {
		h.o.Log.Error("cannot try the snapshot of services again", "error", err)
	}
}

func (h *Host) runRetry(ctx context.Context, d launcher.Daemon) error {
	command := launcher.RetryCommand(h.o.Self, h.settings().RunDir)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = []string{} // not our own
	for name, value := range d.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	user, err := proc.Credential(d.User)
	if err != nil {
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	stdout, stderr, err := h.logs.Pipe(d.Name)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err = cmd.Start()
	_ = stdout.Close()
	_ = stderr.Close()
	if err != nil {
		return err
	}
	return cmd.Wait()
}

// retries decides when a snapshot is tried again.
type retries struct {
	seen  time.Time // when it was tried last, by whomever
	next  time.Time
	pause time.Duration
	ready time.Time // since when HAProxy is, as far as that has been acted on
}

// due tells whether a snapshot that was tried at some time, and is still not in effect,
// should be tried now; zero is none. A HAProxy that does not run starts with the newest
// files, or is ready one day.
func (r *retries) due(now, tried time.Time, haproxy launcher.DaemonStatus) bool {
	if tried.IsZero() {
		r.pause = 0
		return false
	}
	if !haproxy.State.Running() || haproxy.State == launcher.StateStopping {
		return false
	}
	if haproxy.Ready && !haproxy.Since.Equal(r.ready) { // whatever it has read when it started
		r.ready, r.pause = haproxy.Since, 0
		return true
	}
	if r.pause == 0 || !tried.Equal(r.seen) { // another snapshot
		r.seen, r.pause, r.next = tried, firstRetry, now.Add(firstRetry)
	}
	return !now.Before(r.next)
}

// tried notes that a snapshot was tried, and is still pending since; zero is not.
func (r *retries) tried(now, since time.Time) {
	r.pause = min(max(2*r.pause, firstRetry), mostRetry)
	r.seen, r.next = since, now.Add(r.pause)
}
