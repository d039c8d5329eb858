package doctor

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"panteras/configs"
	"panteras/internal/holder"
)

// lookAtTunnel collects what a gateway needs. TUNNEL_PORT is taken in both families: that
// is where WireGuard listens.
func lookAtTunnel(s *configs.Settings) Tunnel {
	t := Tunnel{
		Device: tunDevice(), Kernel: exists("/sys/module/wireguard"),
		Forward4: isOne("/proc/sys/net/ipv4/ip_forward"), Forward6: isOne("/proc/sys/net/ipv6/conf/all/forwarding"),
		Interface: exists("/proc/sys/net/ipv4/conf/" + s.TunnelInterface),
		Key:       privateKey(filepath.Join(s.StateDir, "tunnel", "gateway.key")),
	}
	for _, at := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		listen := netip.AddrPortFrom(at, s.TunnelPort)
		for _, h := range holder.Find(listen, "udp") {
			t.Port = append(t.Port, Held{Listen: listen, Network: "udp", By: h, Ours: h.Name == "panteras"})
		}
	}
	return t
}

// privateKey looks at a file of a key, and never into it.
func privateKey(path string) Key {
	k := Key{Path: path}
	info, err := os.Stat(path)
	switch {
	case err == nil:
		k.Exists, k.Mode = true, info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		k.Err = err.Error()
	}
	return k
}
