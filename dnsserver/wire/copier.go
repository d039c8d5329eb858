package wire

import (
	"encoding/binary"
	"math"
)

// copyRoom holds any message that a reply of 64 KiB becomes when names that pointed into its question are spelled out.
const copyRoom = 3 * MaxMessage

// maxPointer is the highest offset that a compression pointer reaches (RFC 1035 section 4.1.4).
const maxPointer = 0x3fff

// Further types whose data may hold compressed names (RFC 1035 section 3.3, RFC 3597 section 4).
const (
	typeMD    = 3
	typeMF    = 4
	typeMB    = 7
	typeMG    = 8
	typeMR    = 9
	typeMINFO = 14
	typeRP    = 17
	typeAFSDB = 18
	typeRT    = 21
	typeKX    = 36
)

// notCopied marks a part of the old message that is not in the new one.
const notCopied = math.MinInt32

// copier copies a message record by record under another question, without its OPT. Compression pointers are moved along; those into the old
// question are spelled out, because the bytes they meant are gone.
type copier struct {
	buf []byte
	old []int32 // offsets in the old message from which on …
	del []int32 // … this much has to be added for the new one
	src []byte
	qn  int // length of the old question's name
}

// copy returns the copy of m, whose question's name is nameLen bytes long, under the name `name`; nil if m is malformed.
func (c *copier) copy(m []byte, nameLen int, name []byte, mp *Mapping) []byte {
	if c.buf == nil {
		c.buf = make([]byte, 0, copyRoom+optFixed+maxOptions)
	}
	c.src, c.qn = m, nameLen
	c.old, c.del = c.old[:0], c.del[:0]
	if mp.To == nil {
		c.old, c.del = append(c.old, 0), append(c.del, 0) // the question keeps its length: pointers into it stay
	}
	oldEnd := HeaderLen + nameLen + 4
	c.buf = append(c.buf[:0], m[:HeaderLen]...)
	c.buf = append(c.buf, name...)
	c.buf = append(c.buf, m[HeaderLen+nameLen:oldEnd]...)
	c.mark(oldEnd)

	an, ns, ar := ancount(m), nscount(m), arcount(m)
	off, dropped := oldEnd, 0
	for i := range an + ns + ar {
		r, ok := readRR(m, off)
		if !ok || len(c.buf)+(r.end-r.off)+4*MaxName > copyRoom {
			return nil
		}
		off = r.end
		if r.typ == TypeOPT && i >= an+ns {
			dropped++
			continue
		}
		switch {
		case mp.To != nil && i < an && c.same(r.off, m[HeaderLen:HeaderLen+nameLen]):
			c.gone(r.off)
			c.buf = append(c.buf, 0xc0, HeaderLen)
		case mp.To != nil && i < an+ns && r.typ == TypeSOA && c.same(r.off, mp.Apex):
			c.gone(r.off)
			p := HeaderLen + len(name) - mp.FromLen // the client's suffix inside its question
			c.buf = append(c.buf, 0xc0|byte(p>>8), byte(p))
		default:
			if !c.name(r.off) {
				return nil
			}
		}
		c.gone(r.fixed) // the length of the data may change
		fixed := len(c.buf)
		c.buf = append(c.buf, m[r.fixed:r.rdata]...)
		if !c.rdata(&r) {
			return nil
		}
		binary.BigEndian.PutUint16(c.buf[fixed+8:], uint16(len(c.buf)-fixed-10))
		c.mark(r.end)
	}
	setCounts(c.buf, 1, an, ns, ar-dropped)
	return c.buf
}

// mark notes that the byte at old offset off is copied to the end of the buffer.
func (c *copier) mark(off int) {
	d := int32(len(c.buf) - off)
	if n := len(c.del); n > 0 && c.del[n-1] == d {
		return
	}
	c.old = append(c.old, int32(off))
	c.del = append(c.del, d)
}

// gone notes that the bytes from old offset off to the next mark are not copied: a later name that points there is spelled out.
func (c *copier) gone(off int) {
	c.old = append(c.old, int32(off))
	c.del = append(c.del, notCopied)
}

// moved is where the byte at old offset off is now; -1 for the question and for what was not copied.
func (c *copier) moved(off int) int {
	lo, hi := 0, len(c.old)
	for lo < hi {
		mid := (lo + hi) / 2
		if int(c.old[mid]) <= off {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 || c.del[lo-1] == notCopied {
		return -1
	}
	return off + int(c.del[lo-1])
}

// rdata copies the record data. Only the types of RFC 1035 (and those later ones that are compressed in the wild) hold names (RFC 3597 section 4).
func (c *copier) rdata(r *rr) bool {
	head, names, tail := 0, 0, 0
	switch r.typ {
	case TypeNS, TypeCNAME, TypePTR, TypeDNAME, typeMD, typeMF, typeMB, typeMG, typeMR:
		names = 1
	case typeMINFO, typeRP:
		names = 2
	case TypeMX, typeAFSDB, typeRT, typeKX:
		head, names = 2, 1
	case TypeSRV:
		head, names = 6, 1
	case TypeSOA:
		names, tail = 2, 20
	default:
		c.mark(r.rdata)
		c.buf = append(c.buf, c.src[r.rdata:r.end]...)
		return true
	}
	off := r.rdata
	if off+head > r.end {
		return false
	}
	c.mark(off)
	c.buf = append(c.buf, c.src[off:off+head]...)
	off += head
	for range names {
		next := skipName(c.src[:r.end], off)
		if next < 0 || !c.name(off) {
			return false
		}
		off = next
	}
	if off+tail != r.end {
		return false
	}
	c.mark(off)
	c.buf = append(c.buf, c.src[off:r.end]...)
	return true
}

// name copies the name at off, keeping its compression pointer where what it points to was copied too.
func (c *copier) name(off int) bool {
	c.mark(off)
	at := off // what follows is copied in place until the first jump
	jumped := false
	for hops := 0; ; {
		if at >= len(c.src) {
			return false
		}
		n := int(c.src[at])
		switch {
		case n >= 0xc0:
			if at+2 > len(c.src) || hops > 64 {
				return false
			}
			hops++
			target := int(binary.BigEndian.Uint16(c.src[at:])) & maxPointer
			if target >= at || target < HeaderLen {
				return false
			}
			if p := c.moved(target); !jumped && p >= 0 && p <= maxPointer && sameName(c.src, target, c.buf, p) {
				c.buf = append(c.buf, 0xc0|byte(p>>8), byte(p))
				return true
			}
			at, jumped = target, true
		case n == 0:
			c.buf = append(c.buf, 0)
			return true
		case n > 63 || at+1+n > len(c.src):
			return false
		default:
			c.buf = append(c.buf, c.src[at:at+1+n]...)
			at += 1 + n
		}
		if len(c.buf) > copyRoom {
			return false
		}
	}
}

// sameName says whether the name at offset i of a is, byte for byte, the one at j of b. A pointer need not lead to the start of a label that was copied as
// one: what follows there may have become something else.
func sameName(a []byte, i int, b []byte, j int) bool {
	for range MaxName {
		if i, j = follow(a, i), follow(b, j); i < 0 || j < 0 {
			return false
		}
		n := 1 + int(a[i])
		if n > 64 || i+n > len(a) || j+n > len(b) || string(a[i:i+n]) != string(b[j:j+n]) {
			return false
		}
		if n == 1 {
			return true
		}
		i, j = i+n, j+n
	}
	return false
}

// follow is where a label is that stands at an offset or where its pointers lead; -1 if nowhere.
func follow(m []byte, off int) int {
	for off < len(m) && m[off] >= 0xc0 {
		if off+2 > len(m) {
			return -1
		}
		target := int(binary.BigEndian.Uint16(m[off:])) & maxPointer
		if target >= off {
			return -1
		}
		off = target
	}
	if off >= len(m) {
		return -1
	}
	return off
}

// same compares the (possibly compressed) name at off of the old message with a name in wire form.
func (c *copier) same(off int, name []byte) bool {
	for hops := 0; hops < 64; {
		if off >= len(c.src) || len(name) == 0 {
			return false
		}
		n := int(c.src[off])
		if n >= 0xc0 {
			if off+2 > len(c.src) {
				return false
			}
			target := int(binary.BigEndian.Uint16(c.src[off:])) & maxPointer
			if target >= off {
				return false
			}
			off = target
			hops++
			continue
		}
		if n > 63 || off+1+n > len(c.src) || 1+n > len(name) || !EqualFold(c.src[off:off+1+n], name[:1+n]) {
			return false
		}
		if n == 0 {
			return len(name) == 1
		}
		off += 1 + n
		name = name[1+n:]
	}
	return false
}
