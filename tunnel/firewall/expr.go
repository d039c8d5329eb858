package firewall

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// words are the parts of a rule: a rule is said in words, one after the other.
type words = []expr.Any

// reg is the first register of a lookup; the kernel numbers 32-bit registers from here.
const reg = unix.NFT_REG32_00

// family is what differs between IPv4 and IPv6 in a rule.
type family struct {
	digit                string // at the end of the names of sets
	proto                byte   // as meta nfproto says it
	address              nftables.SetDatatype
	source, destination  uint32 // offsets in the IP header
	addressLen           uint32
	icmp                 byte // the protocol's number
	echoRequest, echoRep byte // types
}

var (
	ipv4 = family{"4", unix.NFPROTO_IPV4, nftables.TypeIPAddr, 12, 16, 4, unix.IPPROTO_ICMP, 8, 0}
	ipv6 = family{"6", unix.NFPROTO_IPV6, nftables.TypeIP6Addr, 8, 24, 16, unix.IPPROTO_ICMPV6, 128, 129}
)

// is matches packets of the family.
func (f *family) is() words {
	return words{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte{f.proto}},
	}
}

// load puts an address of the packet into the registers from at on.
func (f *family) load(offset, at uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.addressLen, DestRegister: at}
}

// in matches if an address is in a set, notIn if it is not.
func (f *family) in(offset uint32, set *nftables.Set) words {
	return words{f.load(offset, reg), &expr.Lookup{SourceRegister: reg, SetName: set.Name, SetID: set.ID}}
}

func (f *family) notIn(offset uint32, set *nftables.Set) words {
	return words{f.load(offset, reg), &expr.Lookup{SourceRegister: reg, SetName: set.Name, SetID: set.ID, Invert: true}}
}

// allowed looks up peer . service . protocol . port: the peer at one end of the packet,
// the service with its port at the other.
func (f *family) allowed(peer, service, portOffset uint32, set *nftables.Set) words {
	const registerLen = 4
	n := f.addressLen / registerLen
	return words{
		f.load(peer, reg),
		f.load(service, reg+n),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg + 2*n},
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: portOffset, Len: 2, DestRegister: reg + 2*n + 1},
		&expr.Lookup{SourceRegister: reg, SetName: set.Name, SetID: set.ID},
	}
}

// The offsets of the ports in TCP's and UDP's headers. Other protocols have something
// else there, or nothing: their elements say all ports.
const (
	sourcePort      = 0
	destinationPort = 2
)

// toPort matches packets to a port of a protocol.
func toPort(protocol byte, n uint16) words {
	return slices.Concat(overProtocol(protocol), words{
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: destinationPort, Len: 2, DestRegister: reg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: binary.BigEndian.AppendUint16(nil, n)},
	})
}

// fromPort matches packets from a port of a protocol.
func fromPort(protocol byte, n uint16) words {
	return slices.Concat(overProtocol(protocol), words{
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: sourcePort, Len: 2, DestRegister: reg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: binary.BigEndian.AppendUint16(nil, n)},
	})
}

// notFrom matches packets from any other address.
func (f *family) notFrom(a netip.Addr) words {
	return words{f.load(f.source, reg), &expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: a.AsSlice()}}
}

func overProtocol(protocol byte) words {
	return words{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte{protocol}},
	}
}

// icmpType is a message of ICMP or ICMPv6.
func (f *family) icmpType(t byte) words {
	return slices.Concat(overProtocol(f.icmp), words{
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1, DestRegister: reg},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte{t}},
	})
}

func from(iface string) words { return interfaceIs(expr.MetaKeyIIFNAME, expr.CmpOpEq, iface) }

func to(iface string) words { return interfaceIs(expr.MetaKeyOIFNAME, expr.CmpOpEq, iface) }

func notTo(iface string) words { return interfaceIs(expr.MetaKeyOIFNAME, expr.CmpOpNeq, iface) }

func interfaceIs(key expr.MetaKey, op expr.CmpOp, iface string) words {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, iface)
	return words{&expr.Meta{Key: key, Register: reg}, &expr.Cmp{Op: op, Register: reg, Data: name}}
}

// connection matches connections in one of the states that conntrack knows.
func connection(state uint32) words {
	return words{
		&expr.Ct{Key: expr.CtKeySTATE, Register: reg},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(state), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: make([]byte, 4)},
	}
}

// clampMSS keeps TCP's segments within the path: an ICMP message that is lost somewhere
// would make a black hole.
func clampMSS() words {
	const optionMSS, valueOffset, valueLen = 2, 2, 2
	return slices.Concat(overProtocol(unix.IPPROTO_TCP), words{
		// Of the flags SYN and RST only SYN.
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1, DestRegister: reg},
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 1, Mask: []byte{0x06}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: []byte{0x02}},
		&expr.Rt{Register: reg, Key: expr.RtTCPMSS},
		&expr.Byteorder{SourceRegister: reg, DestRegister: reg, Op: expr.ByteorderHton, Len: valueLen, Size: valueLen},
		&expr.Exthdr{SourceRegister: reg, Type: optionMSS, Offset: valueOffset, Len: valueLen, Op: expr.ExthdrOpTcpopt},
	})
}

// fasterThan matches what an address sends beyond a rate; the set remembers the addresses.
func (f *family) fasterThan(perSecond uint64, burst uint32, set *nftables.Set) words {
	return words{
		f.load(f.source, reg),
		&expr.Dynset{
			SrcRegKey: reg, SetName: set.Name, SetID: set.ID, Operation: unix.NFT_DYNSET_OP_UPDATE,
			Exprs: words{&expr.Limit{Type: expr.LimitTypePkts, Rate: perSecond, Unit: expr.LimitTimeSecond, Burst: burst, Over: true}},
		},
	}
}

func counted(name string) words {
	return words{&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: name}}
}

func accept() words { return words{&expr.Verdict{Kind: expr.VerdictAccept}} }

func drop() words { return words{&expr.Verdict{Kind: expr.VerdictDrop}} }

func jump(chain string) words { return words{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}} }

// resetTCP answers a TCP packet with RST: whoever connects is refused at once.
func resetTCP() words {
	return slices.Concat(overProtocol(unix.IPPROTO_TCP), words{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
}

// prohibit answers a packet with ICMP's "administratively prohibited".
func prohibit() words {
	return words{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}}
}

func masquerade() words { return words{&expr.Masq{}} }
