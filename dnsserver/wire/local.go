package wire

import "encoding/binary"

// NoEDE asks AppendError for no extended error.
const NoEDE = -1

// Extended DNS errors that the server states (RFC 8914 section 4).
const (
	EDEOther           = 0
	EDEFiltered        = 17
	EDENotSupported    = 21
	EDENoReachableAuth = 22
	EDENetworkError    = 23
)

const optionEDE = 15

// AppendError appends an answer without records to the query pkt: its id, opcode, RD, CD and question, QR=1, RA=1 and rcode, which may be an extended
// one. A client with EDNS gets an OPT, with the extended error ede (RFC 8914) unless that is NoEDE.
func AppendError(dst, pkt []byte, q *Query, id uint16, rcode, ede int, text string, ednsSize int) []byte {
	start := len(dst)
	dst = append(dst, pkt[:q.QEnd()]...)
	m := dst[start:]
	SetID(m, id)
	SetFlags(m, errorFlags(pkt, rcode))
	setCounts(m, 1, 0, 0, 0)
	if !q.HasOPT() {
		return dst
	}
	setCounts(m, 1, 0, 0, 1)
	dst = appendOPT(dst, rcode, q.DO, ednsSize)
	if ede == NoEDE {
		return dst
	}
	n := 2 + len(text)
	binary.BigEndian.PutUint16(dst[len(dst)-2:], uint16(4+n))
	dst = append(dst, 0, optionEDE, byte(n>>8), byte(n), byte(ede>>8), byte(ede))
	return append(dst, text...)
}

// AppendQuestion appends the query's header and question without any record.
func AppendQuestion(dst, pkt []byte, q *Query) []byte {
	start := len(dst)
	dst = append(dst, pkt[:q.QEnd()]...)
	setCounts(dst[start:], 1, 0, 0, 0)
	return dst
}

// AppendHeader appends a header-only answer, for a query whose question cannot be read.
func AppendHeader(dst, pkt []byte, rcode int) []byte {
	start := len(dst)
	dst = append(dst, pkt[:HeaderLen]...)
	m := dst[start:]
	SetFlags(m, errorFlags(pkt, rcode))
	setCounts(m, 0, 0, 0, 0)
	return dst
}

// errorFlags keeps the query's opcode, RD and CD. RD, RA and CD mean something for QUERY only (RFC 8906 section 8.1.4).
func errorFlags(pkt []byte, rcode int) uint16 {
	flags := FlagQR | Flags(pkt)&0x7800 | uint16(rcode&0x0f)
	if Opcode(pkt) == opcodeQuery {
		flags |= Flags(pkt)&(FlagRD|FlagCD) | FlagRA
	}
	return flags
}

// AppendEDE adds an extended error (RFC 8914) to the OPT that ends m; m is returned as it is if it ends otherwise.
func AppendEDE(m []byte, q *Query, code int, text string) []byte {
	s, ok := split(m, q.QEnd())
	if !ok || s.opt == 0 || s.optEnd != len(m) || len(m)+6+len(text) > MaxMessage {
		return m
	}
	n := 2 + len(text)
	r, _ := readRR(m, s.opt)
	binary.BigEndian.PutUint16(m[r.fixed+8:], uint16(r.end-r.rdata+4+n))
	m = append(m, 0, optionEDE, byte(n>>8), byte(n), byte(code>>8), byte(code))
	return append(m, text...)
}
