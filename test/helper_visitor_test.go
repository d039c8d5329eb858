package test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
)

// visitor is somebody at a desk; see the command of that name.
type visitor struct{ *lab.Process }

// visits are the kinds of what he does.
var visits = []string{"page", "srv", "put"}

// newVisitor puts somebody to work where the test's thread is.
func newVisitor(t testing.TB, service string) *visitor {
	t.Helper()
	return &visitor{lab.Program(t, build(t, "visitor", "./test/visitor"), lab.PanterasOptions{Args: []string{
		"-page", "http://" + service, "-srv", service, "-put", "http://consul.service.consul:8500/v1/kv/visitor",
	}})}
}

// visit is one attempt.
type visit struct {
	began time.Time
	wrong string // "" when all was well
}

// visits are the attempts of a kind that began in a time, those that are over; in the
// order in which they began.
func (v *visitor) visits(kind string, from, to time.Time) (list []visit) {
	for line := range strings.Lines(v.Stdout()) {
		words := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if len(words) < 3 || words[0] != kind || !strings.HasSuffix(line, "\n") {
			continue
		}
		ms, err := strconv.ParseInt(words[1], 10, 64)
		one := visit{began: time.UnixMilli(ms)}
		if err != nil || one.began.Before(from) || !one.began.Before(to) {
			continue
		}
		if len(words) == 4 {
			one.wrong = words[3]
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b visit) int { return a.began.Compare(b.began) })
	return list
}

// noticed is what he notices of something.
type noticed struct {
	all, failed int
	away        time.Duration // from each first attempt that failed to the next that did not
	first       string        // what he was told first
}

func (n noticed) String() string {
	if n.failed == 0 {
		return fmt.Sprintf("0 s (0 of %d failed)", n.all)
	}
	return fmt.Sprintf("%.1f s (%d of %d failed: %s)", n.away.Seconds(), n.failed, n.all, n.first)
}

// notices sums up a kind of attempts.
func (v *visitor) notices(kind string, from, to time.Time) (n noticed) {
	var failing time.Time
	for _, one := range v.visits(kind, from, to) {
		n.all++
		switch {
		case one.wrong != "":
			n.failed++
			if n.first == "" {
				n.first = one.wrong
			}
			if failing.IsZero() {
				failing = one.began
			}
		case !failing.IsZero():
			n.away += one.began.Sub(failing)
			failing = time.Time{}
		}
	}
	if !failing.IsZero() {
		n.away += to.Sub(failing)
	}
	return n
}

// content says that nothing has failed for a while, of what is over by now.
func (v *visitor) content(kinds []string, since time.Time) bool {
	const calm = 3 * time.Second
	over := time.Now().Add(-2 * time.Second) // what began later may still fail
	if over.Add(-calm).Before(since) {
		return false
	}
	for _, kind := range kinds {
		if n := v.notices(kind, over.Add(-calm), over); n.failed > 0 || n.all < 3 {
			return false
		}
	}
	return true
}
