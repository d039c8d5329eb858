// Package wire reads and rewrites DNS messages in place, on the raw bytes.
//
// A forwarder hands on what it does not understand (RFC 5625), so nothing here unpacks a message:
// a query is its header, its first question and its OPT record, found by bounds-checked walking;
// a reply is rewritten by moving bytes. Nothing in this package allocates on the forward path.
package wire

import "encoding/binary"

// Sizes and limits of RFC 1035 sections 2.3.4 and 4.1.1, and RFC 6891 section 6.2.5.
const (
	HeaderLen  = 12
	MaxName    = 255
	MaxMessage = 65535
	// MinUDPSize is the size every client accepts over UDP, and the least an OPT can state.
	MinUDPSize = 512
)

// Types, classes and codes that the forwarder must know by number.
const (
	TypeA     = 1
	TypeNS    = 2
	TypeCNAME = 5
	TypeSOA   = 6
	TypePTR   = 12
	TypeMX    = 15
	TypeTXT   = 16
	TypeAAAA  = 28
	TypeSRV   = 33
	TypeDNAME = 39
	TypeOPT   = 41
	TypeDS    = 43
	typeSVCB  = 64
	typeHTTPS = 65
	TypeIXFR  = 251
	TypeAXFR  = 252
	TypeANY   = 255

	ClassIN    = 1
	ClassCHAOS = 3

	RcodeSuccess  = 0
	RcodeFormErr  = 1
	RcodeServFail = 2
	RcodeNXDomain = 3
	RcodeNotImp   = 4
	RcodeRefused  = 5
	RcodeBadVers  = 16 // extended: upper bits in the OPT (RFC 6891 section 6.1.3)

	opcodeQuery  = 0
	opcodeNotify = 4
)

// Bits of the second 16-bit word of the header (RFC 1035 section 4.1.1).
const (
	FlagQR = 1 << 15
	FlagAA = 1 << 10
	FlagTC = 1 << 9
	FlagRD = 1 << 8
	FlagRA = 1 << 7
	FlagAD = 1 << 5
	FlagCD = 1 << 4
)

// ID is the message id.
func ID(m []byte) uint16 { return binary.BigEndian.Uint16(m) }

// SetID overwrites the message id.
func SetID(m []byte, id uint16) { binary.BigEndian.PutUint16(m, id) }

// Flags is the header's flag word, opcode and rcode included.
func Flags(m []byte) uint16 { return binary.BigEndian.Uint16(m[2:]) }

// SetFlags overwrites the flag word.
func SetFlags(m []byte, f uint16) { binary.BigEndian.PutUint16(m[2:], f) }

// Rcode is the header's response code, without the OPT's upper bits.
func Rcode(m []byte) int { return int(m[3] & 0x0f) }

// Opcode is the header's opcode.
func Opcode(m []byte) int { return int(m[2] >> 3 & 0x0f) }

// Counts of the four sections.
func qdcount(m []byte) int { return int(binary.BigEndian.Uint16(m[4:])) }
func ancount(m []byte) int { return int(binary.BigEndian.Uint16(m[6:])) }
func nscount(m []byte) int { return int(binary.BigEndian.Uint16(m[8:])) }
func arcount(m []byte) int { return int(binary.BigEndian.Uint16(m[10:])) }

func setCounts(m []byte, qd, an, ns, ar int) {
	binary.BigEndian.PutUint16(m[4:], uint16(qd))
	binary.BigEndian.PutUint16(m[6:], uint16(an))
	binary.BigEndian.PutUint16(m[8:], uint16(ns))
	binary.BigEndian.PutUint16(m[10:], uint16(ar))
}

// AnswerCount is the number of records in the answer section.
func AnswerCount(m []byte) int { return ancount(m) }

func lower(c byte) byte {
	if c-'A' < 26 {
		return c + 32
	}
	return c
}

// skipName returns the offset behind the name at off, or -1 when it does not fit or uses a reserved label type.
// A compression pointer ends the name; where it points to is not followed.
func skipName(m []byte, off int) int {
	for off < len(m) {
		c := int(m[off])
		switch {
		case c == 0:
			return off + 1
		case c >= 0xc0:
			if off+2 > len(m) {
				return -1
			}
			return off + 2
		case c > 63:
			return -1
		}
		off += 1 + c
	}
	return -1
}

// rr is the view of one resource record: offsets into its message.
type rr struct {
	off, fixed, rdata, end int // owner, type field, rdata, first byte behind
	typ, class             uint16
}

// readRR views the record at off; ok is false when it does not fit into the message.
func readRR(m []byte, off int) (r rr, ok bool) {
	r.off = off
	r.fixed = skipName(m, off)
	if r.fixed < 0 || r.fixed+10 > len(m) {
		return r, false
	}
	r.typ = binary.BigEndian.Uint16(m[r.fixed:])
	r.class = binary.BigEndian.Uint16(m[r.fixed+2:])
	r.rdata = r.fixed + 10
	r.end = r.rdata + int(binary.BigEndian.Uint16(m[r.fixed+8:]))
	return r, r.end <= len(m)
}

// EqualFold compares two names in wire form without regard to the case of ASCII letters (RFC 4343).
func EqualFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// AppendName appends the wire form of a name in presentation form, lower-cased, without escapes. The root is "" or ".".
// It is for names from the settings, which were checked there.
func AppendName(dst []byte, name string) []byte {
	start := len(dst)
	dst = append(dst, 0)
	for i := 0; i < len(name); i++ {
		if name[i] != '.' {
			dst = append(dst, lower(name[i]))
			continue
		}
		if n := len(dst) - start - 1; n > 0 {
			dst[start] = byte(n)
			start = len(dst)
			dst = append(dst, 0)
		}
	}
	if n := len(dst) - start - 1; n > 0 {
		dst[start] = byte(n)
		dst = append(dst, 0)
	}
	return dst
}
