package dnsserver

import "time"

// A Consul on this host that is short of processor time, as it is with some thousand queries a second, sends its answers one by one. Each wakes an event loop, which
// takes its turn of a processor from that very Consul. So a loop rests before it looks again: what comes meanwhile is worked off at once, and there are more
// answers a second, not later ones. Recursors of this host are slow because theirs are elsewhere: nothing is gained by letting them be.
const (
	// restTook is the least that an answer must have taken, and restShare the part of it that a rest may take.
	restTook  = 4 * time.Millisecond
	restShare = 8
	restMost  = 2 * time.Millisecond
	// restWaiting is how many answers must be on their way. One that few others wait with is not held up.
	restWaiting = 16
	// restOthers is what part of all that the loop waits for may be other upstreams' answers: those would come later.
	restOthers = 4
	// restTaken is how many datagrams make a turn that was worth being woken for.
	restTaken = 8
)

// restFor is how long to rest after a turn that took some datagrams, among them an answer of a Consul of this host: took is how long that was on its way. So many
// answers are waited for there, and so many in all.
func restFor(taken, waiting, all int, took time.Duration) time.Duration {
	if taken >= restTaken || waiting < restWaiting || restOthers*(all-waiting) > all || took < restTook {
		return 0
	}
	return min(took/restShare, restMost)
}

// restTime is how long to rest after the turn that is over.
func (w *worker) restTime() time.Duration {
	if w.here == nil {
		return 0
	}
	return restFor(w.taken, w.here.waiting, w.flights.used(), w.hereTook)
}
