package test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"panteras/internal/lab"
)

// electionTime is how long three masters may be without a leader when one of them has gone,
// on a machine that does much else.
const electionTime = 30 * time.Second

// quorumWatch looks at the Consuls and ZooKeepers of masters without pause, and keeps the
// worst that it sees.
type quorumWatch struct {
	ending chan struct{}
	ended  sync.WaitGroup

	mu     sync.Mutex
	seen   []seenMaster
	looks  int
	consul watched
	zoo    watched
	err    error
}

// seenMaster is what one master was last seen to be.
type seenMaster struct {
	looked           bool
	consulUp, zooUp  bool
	leader, zooLeads string // whom its Consul takes for the leader; what its ZooKeeper is
}

// watched is one of the two ensembles.
type watched struct {
	fewest  int           // servers that ran
	without time.Time     // when there was no leader with a majority, if there is none now
	longest time.Duration // that it lasted
	leaders int           // how often there was another leader, or one again
	leader  string
}

// watchQuorum begins to look, from a place of its own on the hosts' network.
func watchQuorum(t *testing.T, l *lan, masters []*lanHost) *quorumWatch {
	t.Helper()
	addAddress(t, "lan", "10.7.0.254/24")
	w := &quorumWatch{ending: make(chan struct{}), seen: make([]seenMaster, len(masters))}
	w.consul.fewest, w.zoo.fewest = len(masters), len(masters)
	for i, h := range masters {
		w.ended.Go(func() {
			runtime.LockOSThread() // for good: the thread ends with this goroutine
			if err := unix.Setns(l.test, unix.CLONE_NEWNET); err != nil {
				w.mu.Lock()
				w.err = err
				w.mu.Unlock()
				return
			}
			w.look(i, h.ip)
		})
	}
	t.Cleanup(w.stop)
	return w
}

func (w *quorumWatch) stop() {
	select {
	case <-w.ending:
	default:
		close(w.ending)
	}
	w.ended.Wait()
}

// look looks at one master over and over.
func (w *quorumWatch) look(i int, ip string) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-w.ending:
			return
		case <-ticker.C:
		}
		now := seenMaster{looked: true}
		now.zooUp, now.zooLeads = askZooKeeper(ip + ":2181")
		answer := strings.TrimSpace(httpGet(ip+":8500", "/v1/status/leader"))
		if now.consulUp = strings.HasPrefix(answer, `"`); strings.HasSuffix(answer, `:8300"`) {
			now.leader = answer
		}
		w.note(i, now)
	}
}

// whole waits until the last look at each master has found it well, so that what is done to
// one next is not done to the second.
func (w *quorumWatch) whole(t *testing.T) {
	t.Helper()
	lab.Eventually(t, readyTime, "all masters to be seen well", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, m := range w.seen {
			if m.leader == "" || m.leader != w.consul.leader || m.zooLeads == "" {
				return false
			}
		}
		return w.zoo.leader != ""
	})
}

// note judges all masters after a look at one.
func (w *quorumWatch) note(i int, now seenMaster) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[i] = now
	w.looks++
	consuls, zoos, followers := 0, 0, 0
	votes, zooLeader := map[string]int{}, ""
	for n, m := range w.seen {
		if !m.looked {
			return
		}
		if m.consulUp {
			consuls++
		}
		if m.zooUp {
			zoos++
		}
		votes[m.leader]++
		switch m.zooLeads {
		case "leader":
			zooLeader = fmt.Sprint("master ", n+1)
		case "follower":
			followers++
		}
	}
	leader, majority := "", len(w.seen)/2+1
	for who, n := range votes {
		if who != "" && n >= majority {
			leader = who
		}
	}
	if followers+1 < majority {
		zooLeader = ""
	}
	w.consul.is(consuls, leader)
	w.zoo.is(zoos, zooLeader)
}

func (e *watched) is(running int, leader string) {
	e.fewest = min(e.fewest, running)
	switch {
	case leader == "" && e.without.IsZero():
		e.without = time.Now()
	case leader != "" && !e.without.IsZero():
		e.longest = max(e.longest, time.Since(e.without))
		e.without = time.Time{}
	}
	if leader != e.leader && leader != "" {
		e.leaders++
	}
	e.leader = leader
}

// check fails the test unless a majority has run all the time since the last check, and the
// longest time without a leader was that of an election. It begins anew for what follows.
func (w *quorumWatch) check(t *testing.T, during string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		t.Fatalf("cannot enter a network namespace: %v", w.err)
	}
	majority := len(w.seen)/2 + 1
	for name, e := range map[string]*watched{"Consul": &w.consul, "ZooKeeper": &w.zoo} {
		if !e.without.IsZero() {
			e.longest = max(e.longest, time.Since(e.without))
		}
		t.Logf("%s: of %d servers of %s %d or more ran, which had %d leaders and none for %v at most (%d looks)",
			during, len(w.seen), name, e.fewest, e.leaders, e.longest.Round(time.Millisecond), w.looks)
		if e.fewest < majority {
			t.Errorf("%s: only %d servers of %s ran", during, e.fewest, name)
		}
		if e.longest > electionTime {
			t.Errorf("%s: %s had no leader for %v", during, name, e.longest)
		}
		e.fewest, e.longest, e.leaders = len(w.seen), 0, 0
	}
	if w.looks < 3*len(w.seen) {
		t.Errorf("%s: only %d looks at the masters", during, w.looks)
	}
	w.looks = 0
}
