package lab

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Edit changes the reply to a query before it is sent. Tests may write their
// own; the query's Msg is nil for one that could not be parsed.
type Edit func(q *Query, reply *dns.Msg)

// Answers adds records, in the format of a zone file, to the answer section.
// The owner "@" is the name asked for.
func Answers(records ...string) Edit {
	parsed := parse(records)
	return func(_ *Query, reply *dns.Msg) { reply.Answer = append(reply.Answer, named(parsed, reply)...) }
}

// Authority is Answers for the authority section.
func Authority(records ...string) Edit {
	parsed := parse(records)
	return func(_ *Query, reply *dns.Msg) { reply.Ns = append(reply.Ns, named(parsed, reply)...) }
}

// Extra is Answers for the additional section.
func Extra(records ...string) Edit {
	parsed := parse(records)
	return func(_ *Query, reply *dns.Msg) { reply.Extra = append(named(parsed, reply), reply.Extra...) } // OPT stays last
}

// SRV adds n SRV records for the name asked for, with the address of each
// target in the additional section, as Consul answers for a service.
func SRV(n int) Edit {
	var answers, extra []string
	for i := range n {
		target := fmt.Sprintf("0a01%02x%02x.addr.dc1.consul.", i/250, i%250+1)
		answers = append(answers, fmt.Sprintf("@ 0 IN SRV 1 1 %d %s", 31000+i%30000, target))
		extra = append(extra, fmt.Sprintf("%s 0 IN A 10.1.%d.%d", target, i/250, i%250+1))
	}
	return edits(Answers(answers...), Extra(extra...))
}

// Rcode sets the response code.
func Rcode(code int) Edit { return func(_ *Query, reply *dns.Msg) { reply.Rcode = code } }

// Truncated sets TC and leaves the records out.
func Truncated() Edit {
	return func(_ *Query, reply *dns.Msg) {
		opt := reply.IsEdns0()
		reply.Truncated, reply.Answer, reply.Ns, reply.Extra = true, nil, nil, nil
		if opt != nil {
			reply.Extra = []dns.RR{opt}
		}
	}
}

// NoEDNS leaves the OPT record out.
func NoEDNS() Edit {
	return func(_ *Query, reply *dns.Msg) {
		reply.Extra = without(reply.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
	}
}

// WrongID answers under an id that the query did not have.
func WrongID() Edit { return func(_ *Query, reply *dns.Msg) { reply.Id ^= 0x5555 } }

// WrongQuestion answers a question that was not asked.
func WrongQuestion(name string) Edit {
	return func(_ *Query, reply *dns.Msg) {
		for i := range reply.Question {
			reply.Question[i].Name = dns.Fqdn(name)
		}
	}
}

// NoQuestion leaves the question out.
func NoQuestion() Edit { return func(_ *Query, reply *dns.Msg) { reply.Question = nil } }

// LowerCase turns the name asked for to lower case, in the question and as the
// owner of records.
func LowerCase() Edit { return rename(strings.ToLower) }

// SwapCase turns each letter of the name asked for to the other case.
func SwapCase() Edit {
	return rename(func(name string) string {
		return strings.Map(func(r rune) rune {
			switch {
			case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
				return r ^ 0x20
			}
			return r
		}, name)
	})
}

// rename changes the name of the question wherever it stands.
func rename(change func(string) string) Edit {
	return func(_ *Query, reply *dns.Msg) {
		if len(reply.Question) == 0 {
			return
		}
		asked := reply.Question[0].Name
		reply.Question[0].Name = change(asked)
		for _, section := range [][]dns.RR{reply.Answer, reply.Ns, reply.Extra} {
			for i, rr := range section {
				if rr.Header().Name == asked {
					section[i] = withOwner(rr, change(asked))
				}
			}
		}
	}
}

// edits makes one edit of several.
func edits(all ...Edit) Edit {
	return func(q *Query, reply *dns.Msg) {
		for _, edit := range all {
			edit(q, reply)
		}
	}
}

// parse reads records. A mistake is the test's own, so it panics.
func parse(records []string) []dns.RR {
	parsed := make([]dns.RR, len(records))
	for i, record := range records {
		if rest, ok := strings.CutPrefix(record, "@ "); ok {
			record = atName + " " + rest
		}
		rr, err := dns.NewRR(record)
		if err != nil || rr == nil {
			panic(fmt.Sprintf("lab: not a record: %q: %v", records[i], err))
		}
		parsed[i] = rr
	}
	return parsed
}

// atName stands for "@" in parsed records.
const atName = "at.lab.invalid."

// named returns copies of records, owned by the name asked for where they say so.
func named(records []dns.RR, reply *dns.Msg) []dns.RR {
	out := make([]dns.RR, len(records))
	for i, rr := range records {
		out[i] = rr
		if rr.Header().Name == atName && len(reply.Question) > 0 {
			out[i] = withOwner(rr, reply.Question[0].Name)
		}
	}
	return out
}

// withOwner returns a copy of a record under another name.
func withOwner(rr dns.RR, owner string) dns.RR {
	rr = dns.Copy(rr)
	rr.Header().Name = owner
	return rr
}

// without returns the records that drop does not want to drop.
func without(records []dns.RR, drop func(dns.RR) bool) []dns.RR {
	var kept []dns.RR
	for _, rr := range records {
		if !drop(rr) {
			kept = append(kept, rr)
		}
	}
	return kept
}
