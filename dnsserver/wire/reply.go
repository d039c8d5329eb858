package wire

import "encoding/binary"

// maxOptions bounds the EDNS options of an upstream that are handed on; more than that is dropped from the OPT.
const maxOptions = 1024

// Mapping says how a client's name was asked under another suffix. The zero To means: it was not.
type Mapping struct {
	FromLen int    // length of the client's suffix in wire form, root included
	To      []byte // the suffix that was asked instead, in wire form
	Apex    []byte // the upstream's zone: an SOA owned by it (Consul answers with it for any name) is shown as owned by the client's suffix
}

// Rewriter turns an upstream's reply into the answer for a client. It holds the scratch space for that, so one goroutine uses it at a time.
type Rewriter struct {
	opt []byte
	cp  copier
}

// NewRewriter makes a Rewriter; its buffers (about 200 KiB) are touched only by names that were mapped and by odd messages.
func NewRewriter() *Rewriter { return &Rewriter{opt: make([]byte, 0, maxOptions+optFixed)} }

// Result is what became of a reply.
type Result uint8

// The results of Rewrite.
const (
	Whole     Result = iota // everything the upstream sent
	Trimmed                 // additional records were left out to fit, which needs no TC (RFC 2181 section 9)
	Truncated               // TC=1: answer records are missing
	Broken                  // the reply cannot be walked; nothing was returned
)

// sections are the offsets behind the sections of a message, and where its OPT is (0: none).
type sections struct {
	an, ns, ar  int
	opt, optEnd int
}

// split walks all records of m, whose question ends at qend.
func split(m []byte, qend int) (s sections, ok bool) {
	off := qend
	s.an, s.ns = qend, qend
	an, ns, ar := ancount(m), nscount(m), arcount(m)
	for i := range an + ns + ar {
		r, ok := readRR(m, off)
		if !ok {
			return s, false
		}
		if r.typ == TypeOPT && i >= an+ns {
			if s.opt != 0 || m[r.off] != 0 {
				return s, false
			}
			s.opt, s.optEnd = r.off, r.end
		}
		off = r.end
		if i < an {
			s.an = off
		}
		if i < an+ns {
			s.ns = off
		}
	}
	s.ar = off
	if an == 0 {
		s.an = qend
	}
	return s, true
}

// Rewrite makes the reply m, which passed AnswersQuestion, the answer to the query pkt: the client's own question bytes, RA=1, an OPT if and only if
// the client sent one, and at most limit bytes. The id is the upstream's still. m needs spare capacity of 11 bytes; the result is m itself or the Rewriter's
// buffer and is valid until the next call. ednsSize is what our OPT says we take.
func (w *Rewriter) Rewrite(m, pkt []byte, q *Query, mp *Mapping, limit, ednsSize int) ([]byte, Result) {
	if qdcount(m) == 0 {
		return w.bare(m, pkt, q, ednsSize), Whole
	}
	nameLen := q.NameLen
	if mp.To != nil {
		nameLen += len(mp.To) - mp.FromLen
	}
	s, ok := split(m, HeaderLen+nameLen+4)
	if !ok {
		return nil, Broken
	}
	w.saveOPT(m, &s, q, ednsSize)
	m = m[:s.ar]
	if mp.To != nil || (s.opt != 0 && s.optEnd != s.ar) {
		if m = w.cp.copy(m, nameLen, q.Name(pkt), mp); m == nil {
			return nil, Broken
		}
		if s, ok = split(m, q.QEnd()); !ok {
			return nil, Broken
		}
	} else {
		copy(m[HeaderLen:], q.Name(pkt))
		if s.opt != 0 {
			m = m[:s.opt]
			binary.BigEndian.PutUint16(m[10:], uint16(arcount(m)-1))
			s.ar = s.opt
		}
	}
	if limit < q.QEnd()+len(w.opt) && len(w.opt) > optFixed {
		w.bareOPT()
	}
	m, res := fit(m, q, &s, limit-len(w.opt))
	if len(w.opt) > 0 {
		m = append(m, w.opt...)
		binary.BigEndian.PutUint16(m[10:], uint16(arcount(m)+1))
	}
	SetFlags(m, Flags(m)|FlagRA)
	return m, res
}

// bare answers with the rcode of a reply that had no question.
func (w *Rewriter) bare(m, pkt []byte, q *Query, ednsSize int) []byte {
	rcode := Rcode(m)
	return AppendError(m[:0], pkt, q, ID(m), rcode, NoEDE, "", ednsSize)
}

// saveOPT puts the OPT for the client into w.opt: the upstream's with our size, or a fresh one, or nothing.
func (w *Rewriter) saveOPT(m []byte, s *sections, q *Query, ednsSize int) {
	w.opt = w.opt[:0]
	if !q.HasOPT() {
		return
	}
	if s.opt != 0 && s.optEnd-s.opt <= maxOptions {
		w.opt = append(w.opt, m[s.opt:s.optEnd]...)
	} else {
		w.opt = appendOPT(w.opt, 0, q.DO, ednsSize)
	}
	binary.BigEndian.PutUint16(w.opt[3:], uint16(ednsSize))
}

// bareOPT drops the options from the saved OPT.
func (w *Rewriter) bareOPT() {
	w.opt = w.opt[:optFixed]
	w.opt[9], w.opt[10] = 0, 0
}

func appendOPT(dst []byte, rcode int, do bool, size int) []byte {
	flags := byte(0)
	if do {
		flags = 0x80
	}
	return append(dst, 0, 0, TypeOPT, byte(size>>8), byte(size), byte(rcode>>4), 0, flags, 0, 0, 0)
}

// fit cuts m, which has no OPT, to limit bytes: additional records go first, and silently (RFC 2181 section 9). Then an SRV answer keeps the
// records that fit, with TC=1; any other keeps none, with TC=1 (RFC 2181 section 9 forbids using a partial set).
func fit(m []byte, q *Query, s *sections, limit int) ([]byte, Result) {
	if len(m) <= limit {
		return m, Whole
	}
	an, ns := ancount(m), nscount(m)
	if s.ns <= limit {
		keep, off := 0, s.ns
		for {
			r, ok := readRR(m, off)
			if !ok || r.end > limit {
				break
			}
			off = r.end
			keep++
		}
		setCounts(m, 1, an, ns, keep)
		return m[:off], Trimmed
	}
	keep, off := 0, q.QEnd()
	for q.Type == TypeSRV && keep < an {
		r, ok := readRR(m, off)
		if !ok || r.end > limit {
			break
		}
		off = r.end
		keep++
	}
	setCounts(m, 1, keep, 0, 0)
	if keep == an && an > 0 { // only the authority section was too much; without answers it is what the message says (RFC 2308 section 2)
		return m[:off], Trimmed
	}
	SetFlags(m, Flags(m)|FlagTC)
	return m[:off], Truncated
}

// Shorten makes an answer that Rewrite returned for a larger limit fit, for a client without EDNS.
func Shorten(m []byte, q *Query, limit int) ([]byte, Result) {
	s, ok := split(m, q.QEnd())
	if !ok {
		return m, Whole
	}
	return fit(m, q, &s, limit)
}
