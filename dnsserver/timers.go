package dnsserver

import "time"

// Timer classes. All waits of a class are equally long, so a queue per class is in order of what is due.
const (
	noTimer     int8 = -1
	gatherTimer int8 = 0
	crowdTimer  int8 = 1
	pollTimer   int8 = 2
	// The attempts of a stage follow as firstAttempt, firstAttempt+1 …
	firstAttempt int8 = 3
	// firstStream is the first wait over TCP: large answers of Consul take their time, and nothing gets lost on the way.
	firstStream = firstAttempt + 1
)

// waits holds the length of each class.
var waits = [...]time.Duration{
	gatherTimer: 5 * time.Millisecond,
	crowdTimer:  time.Millisecond,
	pollTimer:   100 * time.Millisecond,
	500 * time.Millisecond, time.Second, 1500 * time.Millisecond, 1500 * time.Millisecond,
}

const (
	stageAttempts = len(waits) - int(firstAttempt)
	// queryLife is how long a query may take in all: below the 5 s that a stub resolver waits (resolv.conf(5)).
	queryLife = 4500 * time.Millisecond
	// fallTime is how long a stage may take that another one follows.
	fallTime = 1500 * time.Millisecond
)

// timerQueue is the intrusive list of the flights that wait in one class.
type timerQueue struct{ head, tail int32 }

func (w *worker) setTimer(i int32, class int8) {
	f := w.flights.at(i)
	w.stopTimer(i)
	t := &w.timers[class]
	f.timer, f.due = class, w.now+int64(waits[class])
	f.tprev, f.tnext = t.tail, none
	if t.tail == none {
		t.head = i
	} else {
		w.flights.at(t.tail).tnext = i
	}
	t.tail = i
}

func (w *worker) stopTimer(i int32) {
	f := w.flights.at(i)
	if f.timer == noTimer {
		return
	}
	t := &w.timers[f.timer]
	if f.tprev == none {
		t.head = f.tnext
	} else {
		w.flights.at(f.tprev).tnext = f.tnext
	}
	if f.tnext == none {
		t.tail = f.tprev
	} else {
		w.flights.at(f.tnext).tprev = f.tprev
	}
	f.timer = noTimer
}

// untilDue is how long the worker may sleep, in milliseconds rounded up, at most a second.
func (w *worker) untilDue() int {
	sleep := int64(time.Second)
	for c := range w.timers {
		if h := w.timers[c].head; h != none {
			sleep = min(sleep, w.flights.at(h).due-w.now)
		}
	}
	return int((max(sleep, 0) + int64(time.Millisecond) - 1) / int64(time.Millisecond))
}

// runTimers handles all that is due.
func (w *worker) runTimers() {
	for c := range w.timers {
		for {
			i := w.timers[c].head
			if i == none || w.flights.at(i).due > w.now {
				break
			}
			w.stopTimer(i)
			switch int8(c) {
			case gatherTimer:
				w.launch(i, given{limit: unknownLimit})
			case crowdTimer:
				w.launch(i, w.flights.at(i).last)
			case pollTimer:
				w.polled(i)
			default:
				w.timedOut(i)
			}
		}
	}
}
