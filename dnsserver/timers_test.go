package dnsserver

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// order lists the flights of a timer class from head to tail, and checks the links back.
func (r *rig) order(class int8) (list []int32) {
	r.t.Helper()
	prev := none
	for i := r.w.timers[class].head; i != none; i = r.w.flights.at(i).tnext {
		if f := r.w.flights.at(i); f.tprev != prev || f.timer != class {
			r.t.Fatalf("flight %d: %d before it, want %d", i, f.tprev, prev)
		}
		list = append(list, i)
		prev = i
	}
	if r.w.timers[class].tail != prev {
		r.t.Fatalf("the tail is %d, want %d", r.w.timers[class].tail, prev)
	}
	return list
}

func TestTimersKeepTheirOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	rng := rand.New(rand.NewPCG(1, 1))
	tgt := r.w.cfg.targets[0]
	var all []int32
	for range 20 {
		all = append(all, r.w.newFlight(tgt))
	}
	model := map[int8][]int32{}
	remove := func(i int32) {
		for c := range model {
			model[c] = slices.DeleteFunc(model[c], func(o int32) bool { return o == i })
		}
	}
	for range 5000 {
		r.w.now += rng.Int64N(int64(time.Millisecond))
		i := all[rng.IntN(len(all))]
		remove(i)
		if rng.IntN(3) == 0 {
			r.w.stopTimer(i)
			r.w.stopTimer(i) // twice is once
		} else {
			class := int8(rng.IntN(len(waits)))
			r.w.setTimer(i, class)
			model[class] = append(model[class], i)
		}
		soonest := int64(time.Second)
		for c := range waits {
			if got := r.order(int8(c)); !slices.Equal(got, model[int8(c)]) {
				t.Fatalf("class %d: %v, want %v", c, got, model[int8(c)])
			}
			for _, i := range model[int8(c)] {
				soonest = min(soonest, r.w.flights.at(i).due-r.w.now)
			}
		}
		if got, want := r.w.untilDue(), int((max(soonest, 0)+999999)/1e6); got != want {
			t.Fatalf("sleeps %d ms, want %d", got, want)
		}
	}
	for _, i := range all {
		r.w.stopTimer(i)
		r.w.flights.put(i)
	}
}

// A client waits 5 s (resolv.conf(5)): by then a silent upstream was asked four times, from the first wait on.
func TestASilentUpstreamIsAskedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.client()
	q := c.ask("a.example.", dns.TypeA, 0)
	r.step()
	first := r.rec.want()
	ids := map[uint16]bool{first.Id: true}
	for i, wait := range waits[firstAttempt : len(waits)-1] {
		r.pass(wait - time.Millisecond)
		r.rec.quiet()
		r.pass(time.Millisecond)
		again := r.rec.want()
		if ids[again.Id] || again.Question[0] != first.Question[0] {
			t.Errorf("attempt %d is %v", i+2, again.Msg)
		}
		ids[again.Id] = true
	}
	c.silent()
	first.reply(0, "@ 0 IN A 192.0.2.1") // an earlier attempt may still be answered
	r.step()
	c.answers(q)
	r.idle()
}
