package page

import (
	"fmt"
	"strings"
	"time"

	"panteras/launcher"
)

// The tones of what is shown, which have colours; words say the same.
const (
	good  = "good"
	busy  = "busy"
	bad   = "bad"
	quiet = "quiet"
)

// snapshot is all that is known at one moment.
type snapshot struct {
	now      time.Time
	facts    Facts
	status   reading[launcher.Status]
	consul   reading[string]
	dns      reading[dnsHistory]
	peers    reading[[]Peer]
	balancer reading[Balancer]
}

// daemon is nil for one that is not known.
func (s *snapshot) daemon(name string) *launcher.DaemonStatus {
	for i := range s.status.value.Daemons {
		if d := &s.status.value.Daemons[i]; d.Name == name {
			return d
		}
	}
	return nil
}

// stale says that something is not known now, and from when what is shown is.
func stale[T any](what string, r reading[T], now time.Time) string {
	switch {
	case r.err == nil:
		return ""
	case !r.known():
		return fmt.Sprintf("%s: %v", what, r.err)
	}
	return fmt.Sprintf("%s: %v. What is shown is from %s ago.", what, r.err, ago(now.Sub(r.at)))
}

// card is one figure of the overview.
type card struct {
	Title, Figure, Note, Tone, Target string
}

// daemonView is a daemon as it is shown.
type daemonView struct {
	Name, State, Tone, Since, Pid string
	Restarts                      int
	// Why says what it waits for, or why it is as it is.
	Why      []string
	LastExit string
	Output   []string
	// What can be done in this state.
	CanStart, CanRestart, CanStop bool
}

func tone(state launcher.State) string {
	switch state {
	case launcher.StateReady:
		return good
	case launcher.StateWaiting, launcher.StateStarting, launcher.StateStopping, launcher.StateAbsent:
		return busy
	case launcher.StateUnhealthy, launcher.StateBackoff, launcher.StateFailed:
		return bad
	}
	return quiet
}

// daemons are all that run or should, and the names of those that do not on this host.
func (s *snapshot) daemons() (list []daemonView, disabled []string) {
	for _, d := range s.status.value.Daemons {
		if d.State == launcher.StateDisabled {
			disabled = append(disabled, d.Name)
			continue
		}
		v := daemonView{
			Name: d.Name, State: string(d.State), Tone: tone(d.State), Since: ago(s.now.Sub(d.Since)), Restarts: d.Restarts, Output: d.Output,
			CanStart:   !d.State.Running() && d.State != launcher.StateWaiting,
			CanRestart: d.State.Running() && d.State != launcher.StateStopping,
			CanStop:    d.State != launcher.StateStopped && d.State != launcher.StateStopping && d.State != launcher.StateAbsent,
		}
		if d.Pid > 0 {
			v.Pid = fmt.Sprint(d.Pid)
		}
		if len(d.WaitingFor) > 0 {
			v.Why = append(v.Why, "waits for "+strings.Join(d.WaitingFor, ", "))
		}
		if d.Reason != "" {
			v.Why = append(v.Why, d.Reason)
		}
		if d.RetryAt != nil {
			when := "now"
			if left := d.RetryAt.Sub(s.now); left > 0 {
				when = "in " + ago(left+time.Second-1)
			}
			v.Why = append(v.Why, "starts again "+when)
		}
		if d.State != launcher.StateReady {
			v.LastExit = d.LastExit
		}
		list = append(list, v)
	}
	return list, disabled
}

// linkView is another user interface.
type linkView struct {
	Name, URL, State, Tone string
}

func (s *snapshot) links() (list []linkView) {
	for _, l := range s.facts.Links {
		v := linkView{Name: l.Name, URL: l.URL, State: "unknown", Tone: quiet}
		if d := s.daemon(l.Daemon); d != nil {
			v.State, v.Tone = string(d.State), tone(d.State)
		}
		list = append(list, v)
	}
	return list
}

// cards are the overview.
func (s *snapshot) cards() []card {
	cards := []card{s.daemonsCard(), s.consulCard(), s.dnsCard(), s.balancerCard()}
	if s.hasPeers() {
		cards = append(cards, s.peersCard())
	}
	return cards
}

func (s *snapshot) daemonsCard() card {
	c := card{Title: "Daemons", Target: "daemons", Tone: good, Figure: "?"}
	if !s.status.known() {
		c.Tone, c.Note = bad, "the launcher does not answer"
		return c
	}
	ready, all, worst := 0, 0, ""
	for _, d := range s.status.value.Daemons {
		if d.State == launcher.StateDisabled {
			continue
		}
		all++
		switch t := tone(d.State); {
		case t == good:
			ready++
		case t == bad && c.Tone != bad, c.Tone == good && t != quiet:
			c.Tone, worst = t, d.Name+": "+string(d.State)
		}
	}
	c.Figure, c.Note = fmt.Sprintf("%d / %d", ready, all), "ready"
	if worst != "" {
		c.Note = worst
	}
	if s.status.err != nil {
		c.Tone, c.Note = bad, "the launcher does not answer"
	}
	return c
}

func (s *snapshot) consulCard() card {
	c := card{Title: "Consul", Target: "links", Tone: good, Figure: "up", Note: "leader " + s.consul.value}
	switch {
	case s.consul.err != nil:
		c.Figure, c.Tone, c.Note = "down", bad, "does not answer"
	case !s.consul.known():
		c.Figure, c.Tone, c.Note = "?", quiet, "not asked yet"
	case s.consul.value == "":
		c.Figure, c.Tone, c.Note = "no leader", bad, "names of services fail"
	}
	return c
}

// consulTrouble says what is wrong with Consul; "" if nothing is.
func (s *snapshot) consulTrouble() string {
	switch {
	case s.consul.err != nil:
		return fmt.Sprintf("Consul does not answer: %v", s.consul.err)
	case s.consul.known() && s.consul.value == "":
		return "Consul has no leader: it answers nothing about services until the servers have elected one."
	}
	return ""
}

// gone says of a daemon that it does not do its work; "" if it does.
func (s *snapshot) gone(name, called string) string {
	d := s.daemon(name)
	switch {
	case d == nil:
		return called + " is not known to the launcher."
	case d.State == launcher.StateDisabled:
		return called + " does not run on this host."
	case !d.State.Running():
		return fmt.Sprintf("%s does not run: it is %s since %s.", called, d.State, ago(s.now.Sub(d.Since)))
	case !d.Ready:
		return fmt.Sprintf("%s is not ready: it is %s since %s.", called, d.State, ago(s.now.Sub(d.Since)))
	}
	return ""
}
