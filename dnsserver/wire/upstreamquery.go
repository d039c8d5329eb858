package wire

import "encoding/binary"

// optFixed is the length of an OPT record without options: root owner, type, class, ttl, rdlength.
const optFixed = 11

// AppendUpstream appends the query as it goes to an upstream: the packet's bytes with another id, the name's last fromLen bytes replaced by
// the suffix `to` (in wire form; nil leaves the name), and the EDNS size set to size. A client without EDNS gets an OPT
// only if addOPT is set. It returns nil if the new name would be longer than 255 bytes.
func AppendUpstream(dst, pkt []byte, q *Query, id uint16, fromLen int, to []byte, size int, addOPT bool) []byte {
	start := len(dst)
	shift := 0
	if to == nil {
		dst = append(dst, pkt[:q.End]...)
	} else {
		shift = len(to) - fromLen
		if q.NameLen+shift > MaxName {
			return nil
		}
		dst = append(dst, pkt[:HeaderLen+q.NameLen-fromLen]...)
		dst = append(dst, to...)
		dst = append(dst, pkt[HeaderLen+q.NameLen:q.End]...)
	}
	m := dst[start:]
	SetID(m, id)
	switch {
	case q.OPT != 0:
		binary.BigEndian.PutUint16(m[q.OPT+shift+3:], uint16(size))
	case addOPT:
		dst = append(dst, 0, 0, TypeOPT, byte(size>>8), byte(size), 0, 0, 0, 0, 0, 0)
		m = dst[start:]
		binary.BigEndian.PutUint16(m[10:], uint16(arcount(m)+1))
	}
	return dst
}

// AnswersQuestion says whether the reply m answers the query that was sent: a response of the same opcode whose question is the
// query's name (its last fromLen bytes replaced by `to`, as AppendUpstream did), type and class. Case is ignored: Consul from 1.19 on
// lower-cases it. A reply without a question is accepted with an error code only (RFC 5452 section 9.1; some servers send FORMERR so).
func AnswersQuestion(m, pkt []byte, q *Query, fromLen int, to []byte) bool {
	if len(m) < HeaderLen || Flags(m)&FlagQR == 0 || Opcode(m) != Opcode(pkt) {
		return false
	}
	if qdcount(m) == 0 {
		return Rcode(m) != RcodeSuccess && Rcode(m) != RcodeNXDomain
	}
	if to == nil {
		fromLen = 0
	}
	head := q.NameLen - fromLen
	n := HeaderLen + head + len(to)
	if qdcount(m) != 1 || len(m) < n+4 {
		return false
	}
	return EqualFold(m[HeaderLen:HeaderLen+head], pkt[HeaderLen:HeaderLen+head]) &&
		EqualFold(m[HeaderLen+head:n], to) &&
		string(m[n:n+4]) == string(pkt[HeaderLen+q.NameLen:q.QEnd()])
}
