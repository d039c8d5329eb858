package conformance

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// exchange is one query and what came of it.
type exchange struct {
	query []byte
	reply []byte   // nil: silence
	msg   *dns.Msg // the reply, read
	asked []*lab.Query
}

// check is one thing that an exchange must satisfy, in words and in code.
type check struct {
	says  string
	holds func(*exchange) error
}

// Bits of the flag word (RFC 1035 section 4.1.1, RFC 4035 section 3).
const (
	flagAA, flagTC, flagRD, flagRA = 1 << 10, 1 << 9, 1 << 8, 1 << 7
	flagZ, flagAD, flagCD          = 1 << 6, 1 << 5, 1 << 4
)

var flagNames = map[uint16]string{flagAA: "AA", flagTC: "TC", flagRD: "RD", flagRA: "RA", flagZ: "Z", flagAD: "AD", flagCD: "CD"}

func flagsOf(m []byte) uint16 { return uint16(m[2])<<8 | uint16(m[3]) }

// silence wants no reply; whether there is none is seen by the reply to the next query.
func silence() check {
	return check{"no reply", func(x *exchange) error {
		if x.reply != nil {
			return fmt.Errorf("want silence, got %x", x.reply)
		}
		return nil
	}}
}

// rcode wants a code.
func rcode(code int) check {
	return check{codeName(code), func(x *exchange) error {
		got := x.msg.Rcode
		if opt := x.msg.IsEdns0(); opt != nil {
			got = x.msg.Rcode&15 | opt.ExtendedRcode()&^15
		}
		return fits(got == code, "want %s, got %s", codeName(code), codeName(got))
	}}
}

// codeName is a code as OPT has it: the library's table has one name for 16, that of TSIG (BADSIG).
func codeName(code int) string {
	if code == dns.RcodeBadVers {
		return "BADVERS"
	}
	return dns.RcodeToString[code]
}

// headerOnly wants nothing but a header, of the query's opcode, whose only flag is QR.
func headerOnly() check {
	return check{"a header whose opcode is the query's and whose only flag is QR", func(x *exchange) error {
		const opcode = 15 << 11
		want := 1<<15 | flagsOf(x.query)&opcode | flagsOf(x.reply)&15
		return fits(len(x.reply) == 12 && flagsOf(x.reply) == want, "%d bytes, flags %04x, want %04x", len(x.reply), flagsOf(x.reply), want)
	}}
}

// fits is nil if ok.
func fits(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// records wants numbers of records in the answer section.
func records(n int) check {
	says := fmt.Sprintf("%d answer records", n)
	switch n {
	case 0:
		says = "no answer records"
	case 1:
		says = "the answer"
	}
	return check{says, func(x *exchange) error {
		return fits(len(x.msg.Answer) == n, "want %d answer records, got %d", n, len(x.msg.Answer))
	}}
}

// holding wants a piece of text in the reply, as dig would show it.
func holding(text string) check {
	return check{"`" + text + "`", func(x *exchange) error {
		shown := strings.Join(strings.Fields(x.msg.String()), " ")
		return fits(strings.Contains(shown, text), "want %q in it", text)
	}}
}

// noOPT wants no EDNS in the reply.
func noOPT() check {
	return check{"no OPT", func(x *exchange) error { return fits(x.msg.IsEdns0() == nil, "an OPT came") }}
}

// opt wants EDNS of version 0 with our size.
func opt() check {
	return check{"OPT of version 0, size 1232", func(x *exchange) error {
		o := x.msg.IsEdns0()
		return fits(o != nil && o.Version() == 0 && o.UDPSize() == 1232, "OPT: %v", o)
	}}
}

// do wants the DO bit as it was.
func do() check {
	return check{"DO set", func(x *exchange) error {
		o := x.msg.IsEdns0()
		return fits(o != nil && o.Do(), "OPT: %v", o)
	}}
}

// noOptions wants none of the client's options back.
func noOptions() check {
	return check{"no option echoed", func(x *exchange) error {
		o := x.msg.IsEdns0()
		if o == nil {
			return nil
		}
		for _, option := range o.Option {
			if option.Option() != dns.EDNS0EDE {
				return fmt.Errorf("option %d came back", option.Option())
			}
		}
		return nil
	}}
}

// extended wants an extended error (RFC 8914).
func extended(codes ...uint16) check {
	return check{fmt.Sprintf("extended error %s", strings.Trim(strings.ReplaceAll(fmt.Sprint(codes), " ", " or "), "[]")), func(x *exchange) error {
		o := x.msg.IsEdns0()
		if o == nil {
			return fmt.Errorf("no OPT")
		}
		for _, option := range o.Option {
			if e, ok := option.(*dns.EDNS0_EDE); ok {
				for _, code := range codes {
					if e.InfoCode == code {
						return nil
					}
				}
				return fmt.Errorf("extended error %d", e.InfoCode)
			}
		}
		return fmt.Errorf("no extended error")
	}}
}

// set and clear want flags of the reply.
func set(flag uint16) check {
	return check{flagNames[flag] + "=1", func(x *exchange) error { return fits(flagsOf(x.reply)&flag != 0, "flags %04x", flagsOf(x.reply)) }}
}

func clear(flag uint16) check {
	return check{flagNames[flag] + "=0", func(x *exchange) error { return fits(flagsOf(x.reply)&flag == 0, "flags %04x", flagsOf(x.reply)) }}
}

// verbatim wants the upstream to have the client's message, byte for byte, but for the id,
// and the size in its OPT, which is ours where the client's is larger.
func verbatim() check {
	return check{"the upstream gets it as it was sent", func(x *exchange) error {
		if len(x.asked) == 0 {
			return fmt.Errorf("the upstream was not asked")
		}
		got, sent := x.asked[0].Raw, bytes.Clone(x.query)
		const size = "\x04\xd0" // 1232
		for i := 12; i+2 < min(len(got), len(sent)); i++ {
			if got[i] != sent[i] {
				if string(got[i:i+2]) == size && string(sent[i-2:i]) == "\x00\x29" {
					copy(sent[i:], size)
				}
				break
			}
		}
		return fits(len(got) == len(sent) && bytes.Equal(got[2:], sent[2:]), "sent %x, the upstream got %x", x.query, got)
	}}
}

// notAsked wants the upstream left alone.
func notAsked() check {
	return check{"no upstream is asked", func(x *exchange) error {
		return fits(len(x.asked) == 0, "an upstream was asked %d times", len(x.asked))
	}}
}

// overTCP wants TCP towards the upstream.
func overTCP() check {
	return check{"the upstream is asked over TCP", func(x *exchange) error {
		return fits(len(x.asked) > 0 && x.asked[0].TCP, "asked %d times, not over TCP", len(x.asked))
	}}
}

// atMost bounds the reply's size.
func atMost(n int) check {
	return check{fmt.Sprintf("at most %d bytes", n), func(x *exchange) error { return fits(len(x.reply) <= n, "%d bytes", len(x.reply)) }}
}

// sameQuestion wants the client's question bytes back.
func sameQuestion() check {
	return check{"the question as it was sent", func(x *exchange) error {
		end := 12
		for end < len(x.query) && x.query[end] != 0 {
			end += 1 + int(x.query[end])
		}
		end += 5
		return fits(len(x.reply) >= end && bytes.Equal(x.reply[12:end], x.query[12:end]), "sent %x, got %x", x.query, x.reply)
	}}
}

// sameID wants the client's id back.
func sameID() check {
	return check{"the client's id", func(x *exchange) error { return fits(bytes.Equal(x.reply[:2], x.query[:2]), "id %x", x.reply[:2]) }}
}
