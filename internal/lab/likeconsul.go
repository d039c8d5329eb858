package lab

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// LikeConsul119 makes an upstream treat its replies and connections as Consul
// does since 1.19, without running one: the question comes back in lower case,
// answers are shuffled, trimmed to the size without setting TC and lose their
// OPT record with that, recursion is not offered; TCP is served one query at a
// time and closed after 128 queries or 8 s without one. (1.14 differs in the
// lower case only.)
func LikeConsul119() UpstreamOption {
	return func(u *Upstream) {
		u.limit, u.idle, u.serial = 128, 8*time.Second, true
		u.shapes = append(u.shapes, LowerCase(), consulShape)
	}
}

// consulShape is what Consul does to every reply before it sends it.
func consulShape(q *Query, reply *dns.Msg) {
	if q.Msg == nil {
		return
	}
	reply.RecursionAvailable, reply.Authoritative = false, true
	rand.Shuffle(len(reply.Answer), func(i, j int) { reply.Answer[i], reply.Answer[j] = reply.Answer[j], reply.Answer[i] })
	asked := q.Msg.IsEdns0()
	if opt := reply.IsEdns0(); opt != nil && asked != nil {
		opt.SetUDPSize(asked.UDPSize()) // Consul echoes the client's
	}

	size, most := 65523, 4096
	switch {
	case q.TCP && q.Msg.Question[0].Qtype == dns.TypeSRV:
		most = 1024
	case q.TCP:
	case asked == nil || asked.UDPSize() <= dns.MinMsgSize:
		size, most = dns.MinMsgSize-8, 3
	default:
		size, most = int(asked.UDPSize())-8, len(reply.Answer)
	}
	if len(reply.Answer) > most {
		cut(reply, most)
	}
	for len(reply.Answer) > 1 && reply.Len() > size {
		reply.Ns = nil
		cut(reply, len(reply.Answer)-1-max(0, reply.Len()-size)/150) // no record is bigger: never cuts too much
	}
}

// cut keeps the first n answers, and of the additional records only addresses
// of SRV targets that are left.
func cut(reply *dns.Msg, n int) {
	reply.Answer = reply.Answer[:max(n, 1)]
	targets := map[string]bool{}
	for _, rr := range reply.Answer {
		if srv, ok := rr.(*dns.SRV); ok {
			targets[strings.ToLower(srv.Target)] = true
		}
	}
	reply.Extra = without(reply.Extra, func(rr dns.RR) bool { return !targets[strings.ToLower(rr.Header().Name)] })
}
