package tunnel

import (
	"errors"
	"fmt"
)

// Verdict is what to do with a snapshot.
type Verdict int

// The verdicts of [Settle].
const (
	// Accept says that the snapshot is to be in force.
	Accept Verdict = iota
	// Confirm says that most peers are gone, which a consistent read has to confirm.
	Confirm
	// Refuse says that the last state stays in force.
	Refuse
)

// Settle decides what becomes of a snapshot, given the one in force. What can be
// understood counts; in place of what cannot, the last good stays, and what is broken
// says so in the snapshot that comes back. Unless that is accepted the error tells an
// operator why.
func Settle(last, next *Snapshot) (Snapshot, Verdict, error) {
	settled := *next
	settled.Broken = make([]Broken, 0, len(next.Broken))
	for _, b := range next.Broken {
		becomes := "it is left out"
		if keepLast(last, &settled, b) {
			becomes = "its last good state stays in force"
		}
		b.Err = fmt.Errorf("%w; %s", b.Err, becomes)
		settled.Broken = append(settled.Broken, b)
	}
	if settled.Cluster.Importing {
		return *last, Refuse, errors.New(unfinished + "; the last state stays in force until it does; " + runAgain)
	}
	// Without peers there is nothing to lose.
	if len(last.Peers) > 0 && settled.Cluster != last.Cluster {
		return *last, Refuse, lost(last.Cluster, settled.Cluster)
	}
	if gone := vanished(last, &settled); gone*2 > len(last.Peers) && !next.Consistent {
		return *last, Confirm, fmt.Errorf("%d of %d peers are gone from the store at once; reading it again to be sure", gone, len(last.Peers))
	}
	return settled, Accept, nil
}

const (
	unfinished = "an import into the store has not ended"
	runAgain   = "if it was cut off, run `panteras peer import` again"
	wiped      = "it was wiped, or the token may not read it"
)

// Refusal is why gateways that have peers in force take nothing over from a store, given its
// cluster, and what to do; nil if they do. Whether it is still their store is known from the
// cluster that one of them has in force, if it has any peers; else that is zero.
func Refusal(c, inForce Cluster) error {
	switch {
	case c.Importing:
		return errors.New(unfinished + ", and until it does gateways have in force what they had; " + runAgain)
	case !c.ULA.IsValid():
		return errors.New("the store lacks what all gateways share: " + wiped + "; gateways have in force what they had; restore the store by `panteras peer import`")
	case inForce.ULA.IsValid() && c != inForce:
		return lost(inForce, c)
	}
	return nil
}

func lost(was, is Cluster) error {
	const advice = "the last state stays in force; restore the store by `panteras peer import`"
	if !is.ULA.IsValid() {
		return errors.New("the store holds nothing of ours any more: " + wiped + "; " + advice)
	}
	return fmt.Errorf("the store was made anew: it was %s and is %s; %s", was.ULA, is.ULA, advice)
}

// keepLast puts the last good state of a broken entry into a snapshot, if there was one.
func keepLast(last, settled *Snapshot, b Broken) bool {
	switch b.Kind {
	case KindPeer:
		p, ok := last.Peer(b.Name)
		if ok {
			settled.Peers = insert(settled.Peers, p, func(p *Peer) string { return p.Name })
		}
		return ok
	case KindGateway:
		g, ok := last.Gateway(b.Name)
		if ok {
			settled.Gateways = insert(settled.Gateways, g, func(g *GatewayInfo) string { return g.Name })
		}
		return ok
	case KindCluster:
		settled.Cluster = last.Cluster
		return last.Cluster.ULA.IsValid()
	}
	return false
}

// insert makes a list with one more item at its place by name.
func insert[T any](list []T, item T, name func(*T) string) []T {
	i := 0
	for i < len(list) && name(&list[i]) < name(&item) {
		i++
	}
	longer := append(make([]T, 0, len(list)+1), list[:i]...)
	return append(append(longer, item), list[i:]...)
}

// vanished counts the peers that are gone.
func vanished(last, next *Snapshot) int {
	names := make(map[string]bool, len(next.Peers))
	for i := range next.Peers {
		names[next.Peers[i].Name] = true
	}
	gone := 0
	for i := range last.Peers {
		if !names[last.Peers[i].Name] {
			gone++
		}
	}
	return gone
}
