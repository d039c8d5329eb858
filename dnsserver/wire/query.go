package wire

import "encoding/binary"

// Verdict says what to do with a packet, decided on its header and first question.
type Verdict uint8

// The verdicts of Parse. The table of what is dropped and what is refused is miekg/dns's MsgAcceptFunc.
const (
	OK      Verdict = iota
	Drop            // shorter than a header, or a response: answering it could loop
	FormErr         // counts, labels or OPT are wrong
	NotImp          // opcode is neither QUERY nor NOTIFY
	BadVers         // EDNS version above 0 (RFC 6891 section 6.1.3)
)

// Query is the view of one query. It refers to the packet by offsets, so the packet may be copied.
type Query struct {
	Type, Class uint16
	// NameLen is the length of the question's name in wire form, 1 to 255; it starts at HeaderLen.
	NameLen int
	// End is the length of the message proper; what follows it in the packet is rubbish and not handed on.
	End int
	// OPT is the offset of the OPT record, 0 when there is none, and OPTEnd the offset behind it.
	OPT, OPTEnd int
	// UDPSize is what the client takes over UDP: at least 512.
	UDPSize int
	// DO is the client's "DNSSEC answer OK" bit (RFC 3225).
	DO bool
}

// QEnd is the offset behind the question.
func (q *Query) QEnd() int { return HeaderLen + q.NameLen + 4 }

// Name is the question's name in wire form, as the client spelled it.
func (q *Query) Name(pkt []byte) []byte { return pkt[HeaderLen : HeaderLen+q.NameLen] }

// HasOPT says whether the client speaks EDNS.
func (q *Query) HasOPT() bool { return q.OPT != 0 }

// Parse views a packet as a query. With BadVers, q is filled in as with OK.
func Parse(pkt []byte, q *Query) Verdict {
	if len(pkt) < HeaderLen || Flags(pkt)&FlagQR != 0 {
		return Drop
	}
	if op := Opcode(pkt); op != opcodeQuery && op != opcodeNotify {
		return NotImp
	}
	an, ns, ar := ancount(pkt), nscount(pkt), arcount(pkt)
	if qdcount(pkt) != 1 || an > 1 || ns > 1 || ar > 2 {
		return FormErr
	}
	off := HeaderLen
	for {
		if off >= len(pkt) {
			return FormErr
		}
		c := int(pkt[off])
		if c > 63 { // also compression: a first name has nothing to point to
			return FormErr
		}
		off += 1 + c
		if c == 0 {
			break
		}
	}
	n := off - HeaderLen
	if n > MaxName || off+4 > len(pkt) {
		return FormErr
	}
	*q = Query{
		Type:    binary.BigEndian.Uint16(pkt[off:]),
		Class:   binary.BigEndian.Uint16(pkt[off+2:]),
		NameLen: n,
		UDPSize: MinUDPSize,
	}
	off += 4
	version := byte(0)
	for i := range an + ns + ar {
		r, ok := readRR(pkt, off)
		if !ok {
			return FormErr
		}
		if r.typ == TypeOPT {
			// One OPT, in the additional section, owned by the root (RFC 6891 section 6.1.1).
			if q.OPT != 0 || i < an+ns || pkt[r.off] != 0 || !validOptions(pkt[r.rdata:r.end]) {
				return FormErr
			}
			q.OPT, q.OPTEnd = r.off, r.end
			q.UDPSize = max(int(r.class), MinUDPSize)
			version = pkt[r.fixed+5]
			q.DO = pkt[r.fixed+6]&0x80 != 0
		}
		off = r.end
	}
	q.End = off
	if version != 0 {
		return BadVers
	}
	return OK
}

// validOptions checks that EDNS options fill their record exactly.
func validOptions(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 4 {
			return false
		}
		n := 4 + int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b) {
			return false
		}
		b = b[n:]
	}
	return true
}

// Fold writes the question's name in lower case to dst, which must hold 255 bytes, and returns the part used.
func (q *Query) Fold(dst, pkt []byte) []byte {
	dst = dst[:q.NameLen]
	for i, c := range pkt[HeaderLen : HeaderLen+q.NameLen] {
		dst[i] = lower(c) // length octets are below 64 and stay as they are
	}
	return dst
}

// SameQuestion says whether two queries ask the same in all that an upstream can see: flags, counts, question (case aside),
// and every byte behind it. The ids and the transport are not compared.
func SameQuestion(a []byte, qa *Query, b []byte, qb *Query) bool {
	if qa.End != qb.End || qa.NameLen != qb.NameLen || string(a[2:HeaderLen]) != string(b[2:HeaderLen]) {
		return false
	}
	n := HeaderLen + qa.NameLen
	return EqualFold(a[HeaderLen:n], b[HeaderLen:n]) && string(a[n:qa.End]) == string(b[n:qb.End])
}
