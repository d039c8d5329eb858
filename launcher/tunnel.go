package launcher

import (
	"fmt"
	"net/netip"

	"panteras/configs"
)

// tunnel is the gateway of this program.
func tunnel(b *builder) Daemon {
	metrics, more := b.metrics("tunnel", "TUNNEL_METRICS_LISTEN", b.TunnelMetricsListen)
	if b.StartConsulTemplate && !b.loaded.Given("TUNNEL_HOST_PORTS") {
		// Names of services lead peers to this host's HAProxy as well as to others.
		more = append(more, fmt.Sprintf("TUNNEL_HOST_PORTS=%d\n", b.HAProxyHTTPPort))
	}
	if b.KeepalivedVIP.IsValid() {
		more = append(more, "KEEPALIVED_VIP="+b.KeepalivedVIP.String()+"\n")
	}
	d := b.own("tunnel", "gateway", b.Tunnel, []configs.Group{configs.GroupCommon, configs.GroupTunnel}, more...)
	d.Metrics = metrics
	d.Run, d.Because = b.StartTunnel, b.because("START_TUNNEL", "TUNNEL_ENDPOINT")
	d.Capabilities = []string{"CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"}
	d.udp(netip.Addr{}, "TUNNEL_PORT", b.TunnelPort)
	d.StopForNext = "SIGUSR1"
	if b.TunnelDatapath != "kernel" { // which opens its own
		for _, all := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			d.Sockets = append(d.Sockets, Socket{Addr: netip.AddrPortFrom(all, b.TunnelPort)})
		}
	}
	return d
}
