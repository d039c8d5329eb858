package launcher

import (
	"net/netip"

	"panteras/configs"
)

// tunnel is the gateway of this program.
func tunnel(b *builder) Daemon {
	d := b.own("tunnel", "gateway", b.Tunnel, []configs.Group{configs.GroupCommon, configs.GroupTunnel})
	d.Run, d.Because = b.StartTunnel, b.because("START_TUNNEL", "TUNNEL_ENDPOINT")
	d.Capabilities = []string{"CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE"}
	d.udp(netip.Addr{}, "TUNNEL_PORT", b.TunnelPort)
	return d
}
