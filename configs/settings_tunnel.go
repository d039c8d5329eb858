package configs

import "net/netip"

// The values of [Settings.TunnelStore].
const (
	TunnelStoreConsul = "consul"
	TunnelStoreFile   = "file"
)

// The values of [Settings.TunnelDatapath].
const (
	TunnelDatapathAuto      = "auto"
	TunnelDatapathKernel    = "kernel"
	TunnelDatapathUserspace = "userspace"
)

// TunnelSettings are those that the gateway and the commands about peers need
// beside the common ones.
type TunnelSettings struct {
	// TunnelPort is the gateway's UDP port.
	TunnelPort uint16
	// TunnelInterface is the name of the gateway's WireGuard interface.
	TunnelInterface string
	// TunnelRoutes are the masked networks that peers may reach; empty when the
	// host's own network is not known.
	TunnelRoutes []netip.Prefix
	// TunnelHostPorts are the TCP ports of the gateway host itself that peers may reach;
	// empty for those that the launcher finds, or none.
	TunnelHostPorts []uint16
	// TunnelStore is TunnelStoreConsul or TunnelStoreFile; the one that STATE_DIR
	// remembers beats a default.
	TunnelStore string
	// TunnelNAT tells whether services see the gateway's address instead of the peer's.
	TunnelNAT bool
	// TunnelDatapath is TunnelDatapathAuto, TunnelDatapathKernel or TunnelDatapathUserspace.
	TunnelDatapath string
	// TunnelMetricsListen is the host:port of the gateway's Prometheus endpoint, "" when it is off.
	TunnelMetricsListen string

	// StateDir holds what daemons must not lose, RunDir what is made at every
	// start, LogDir logs. All are clean full paths.
	StateDir, RunDir, LogDir string
}
