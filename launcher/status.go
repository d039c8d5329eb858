package launcher

import "time"

// State is what has become of a daemon.
type State string

// The states of a daemon.
const (
	// StateDisabled is a daemon that the plan does not run on this host.
	StateDisabled State = "disabled"
	// StateAbsent is a daemon whose program is not installed.
	StateAbsent State = "absent"
	// StateWaiting is a daemon that starts when those that it waits for are ready.
	StateWaiting State = "waiting"
	// StateStarting is a daemon that runs and is not ready yet.
	StateStarting State = "starting"
	// StateReady is a daemon that does its work.
	StateReady State = "ready"
	// StateUnhealthy is a daemon that was ready and fails its probe now. It goes on
	// running: a Consul without a leader is not mended by a restart.
	StateUnhealthy State = "unhealthy"
	// StateBackoff is a daemon that ended and starts again at RetryAt.
	StateBackoff State = "backoff"
	// StateStopping is a daemon that was asked to end and still runs.
	StateStopping State = "stopping"
	// StateStopped is a daemon that an operator stopped.
	StateStopped State = "stopped"
	// StateFailed is a daemon that ended for a reason that no restart can mend.
	StateFailed State = "failed"
)

// Running tells whether a process of the daemon exists in this state.
func (s State) Running() bool {
	return s == StateStarting || s == StateReady || s == StateUnhealthy || s == StateStopping
}

// Status is what `panteras status --json` prints: all daemons, in the order of the
// plan.
type Status struct {
	Daemons []DaemonStatus `json:"daemons"`
}

// DaemonStatus is what has become of one daemon.
type DaemonStatus struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Pid is 0 unless a process runs.
	Pid int `json:"pid"`
	// Since is when the state began.
	Since time.Time `json:"since"`
	// Restarts counts the starts after the first one that nobody asked for.
	Restarts int  `json:"restarts"`
	Ready    bool `json:"ready"`
	// WaitingFor are the daemons that it waits for; never nil.
	WaitingFor []string `json:"waiting_for"`
	// LastExit is how the last process ended, "" if none has.
	LastExit string `json:"last_exit"`
	// Reason says why the state is what it is, and what to do, where there is
	// something to say.
	Reason string `json:"reason,omitempty"`
	// RetryAt is when a daemon in backoff starts again.
	RetryAt *time.Time `json:"retry_at,omitempty"`
	// Output are the last lines of a daemon that does not stay up.
	Output []string `json:"output,omitempty"`
}
