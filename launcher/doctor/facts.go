package doctor

import (
	"io/fs"
	"net/netip"

	"panteras/internal/holder"
	"panteras/launcher/rights"
)

// Facts are what [Diagnose] knows about a host.
type Facts struct {
	// Root tells whether everything could be looked at.
	Root bool
	// Up tells whether `panteras up` runs: its control socket answers.
	Up bool
	// Addrs are the addresses of the host's interfaces.
	Addrs []netip.Addr
	// Held are the sockets on the addresses of the DNS server.
	Held []Held
	// Resolv are the files that tell who is asked for names.
	Resolv Resolv
	Consul Consul
	// Missing are the daemons of the plan whose program is not installed.
	Missing []Missing
	// DockerSocket tells whether there is one.
	DockerSocket bool
	Tunnel       Tunnel
	Firewall     Firewall
	// SELinux is whether it is enforcing.
	SELinux bool
	Clock   Clock
	Folders []Folder
}

// Held is a socket that keeps the DNS server from an address.
type Held struct {
	Listen  netip.AddrPort
	Network string // "udp" or "tcp"
	By      holder.Holder
	// Ours tells that it is a panteras that holds it.
	Ours bool
}

// Resolv is what /etc/resolv.conf and /etc/resolv.conf.orig hold.
type Resolv struct {
	// Err says why /etc/resolv.conf cannot be read, "" if it can.
	Err string
	// Servers are its nameserver lines, Before those of the copy.
	Servers, Before []netip.Addr
	// Copy tells that the copy is there.
	Copy bool
}

// Consul is what its API said.
type Consul struct {
	// Err says why it did not answer, "" if it did.
	Err string
	// Leader is the leader's address, "" if there is none.
	Leader string
	// Lacking are the rights that this host needs and its token has not; RightsErr says
	// why that cannot be told.
	Lacking   []rights.Right
	RightsErr string
	// Nameless tells that Consul's DNS does not know its own service, Unwritten that this
	// host's Consul could not write about its node.
	Nameless, Unwritten bool
}

// Missing is a daemon and the program, or the file, that it lacks.
type Missing struct {
	Daemon, Program string
}

// Tunnel is what a gateway needs from the kernel.
type Tunnel struct {
	// Device is why /dev/net/tun cannot be used, "" if it can.
	Device string
	// Kernel tells whether WireGuard is loaded in the kernel.
	Kernel bool
	// Forward4 and Forward6 tell whether packets are forwarded.
	Forward4, Forward6 bool
	// Interface tells whether TUNNEL_INTERFACE is there: a gateway runs, or died.
	Interface bool
	// Port are the sockets of others on TUNNEL_PORT.
	Port []Held
	// Key is the gateway's private key.
	Key Key
}

// Key is a file that only its owner may read.
type Key struct {
	// Path is where it is, or is going to be.
	Path string
	// Exists is whether it is there, Mode its permissions.
	Exists bool
	Mode   fs.FileMode
	// Err says why it cannot be looked at, "" if it can.
	Err string
}

// Firewall is who else decides about packets.
type Firewall struct {
	// Dropping are chains that are not ours and drop what no rule accepts.
	Dropping []Chain
	// Err says why the chains could not be read, "" if they could.
	Err string
	// Firewalld tells whether it runs.
	Firewalld bool
}

// Chain is a base chain of nftables.
type Chain struct {
	// Family is inet, ip or ip6; Hook is input or forward.
	Family, Table, Name, Hook string
}

// Clock is what the kernel thinks of its clock.
type Clock struct {
	// Err says why the kernel did not tell, "" if it did.
	Err string
	// Synchronised tells whether something keeps it right.
	Synchronised bool
}

// Folder is a folder that panteras writes to.
type Folder struct {
	// Setting is its setting, Path the folder, Exists whether it is there.
	Setting, Path string
	Exists        bool
	// Err says why it, or the nearest folder above it that is there, cannot be written
	// to; "" if it can.
	Err string
	// Free is how many bytes and FreeNodes how many files still fit.
	Free, FreeNodes uint64
}
