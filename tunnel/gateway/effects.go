package gateway

import (
	"net/netip"
	"path/filepath"
	"time"

	"panteras/configs"
	"panteras/tunnel/device"
	"panteras/tunnel/firewall"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// wire is the tunnel's interface; see [device.Device].
type wire interface {
	Apply(*device.Config) (changed int, err error)
	Update(*device.Config) (changed int, err error)
	SetLink(mtu int, addresses []netip.Prefix) (changed int, err error)
	Up() error
	Call(map[wgtypes.Key]netip.AddrPort) error
	Forget([]device.Peer) error
	Status() (map[wgtypes.Key]device.PeerStatus, error)
	Datapath() device.Datapath
	Adopted() bool
	Gone() <-chan struct{}
	Leave() error
	Close() error
}

// rules is the firewall; see [firewall.Firewall].
type rules interface {
	Apply(*firewall.Rules) error
	InForce() bool
	Refused() (map[string]uint64, error)
	Remove() error
}

// forwarding is whether the host passes on packets; see [device.Forwarding].
type forwarding interface {
	Enable(v4, v6 bool) (changed bool, err error)
	Restore() error
}

// effects are everything on the host that a gateway reads or changes.
type effects struct {
	open     func(device.Options) (wire, error)
	firewall func(now func() time.Time) rules
	forward  forwarding
	underlay func(...netip.Addr) (name string, mtu int, err error)
	holds    func(netip.Addr) (bool, error)
	watch    func(done <-chan struct{}) (<-chan struct{}, error)
	warnings func(iface string) ([]string, error)
}

// hostEffects are the real ones.
func hostEffects(s *configs.Settings) effects {
	return effects{
		open: func(o device.Options) (wire, error) {
			d, err := device.Open(o)
			if err != nil {
				return nil, err // and no interface that holds nil
			}
			return d, nil
		},
		firewall: func(now func() time.Time) rules { return firewall.New(now) },
		forward:  &device.Forwarding{File: filepath.Join(s.RunDir, "gateway-forwarding.json")},
		underlay: device.Underlay,
		holds:    device.Holds,
		watch:    device.Watch,
		warnings: firewall.Warnings,
	}
}
