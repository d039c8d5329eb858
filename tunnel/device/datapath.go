package device

import (
	"errors"
	"fmt"
	"math"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Datapath says who encrypts.
type Datapath string

// The datapaths.
const (
	Auto      Datapath = "auto"      // the kernel if it can, else this process
	Kernel    Datapath = "kernel"    // the kernel's WireGuard
	Userspace Datapath = "userspace" // this process
)

// errNoModule is the kernel's answer where it has no WireGuard.
var errNoModule = errors.New("this kernel has no WireGuard: neither built in nor as a module")

// Probe asks the kernel whether it has WireGuard, and makes it load the module. nil means
// yes. Nothing is left behind: the interface that is asked for cannot exist, and the
// kernel says so only after it has found out who would make it.
func Probe() error {
	err := netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: "wg-probe", MTU: math.MaxInt32}})
	if err == nil { // cannot be; but then it is there
		_ = netlink.LinkDel(&netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: "wg-probe"}})
	}
	return probed(err)
}

// probed reads the kernel's answer (rtnetlink(7)) to that question.
func probed(answer error) error {
	switch {
	case answer == nil:
		return nil
	case errors.Is(answer, unix.EINVAL), errors.Is(answer, unix.ERANGE): // the MTU
		return nil
	case errors.Is(answer, unix.EOPNOTSUPP), errors.Is(answer, unix.EAFNOSUPPORT): // the kind of interface
		return errNoModule
	}
	return permission("cannot make network interfaces", answer)
}

// choose decides for a datapath, given what Probe said. An error other than "no module"
// is never taken for one: encrypting in this process would hide it, and fail as well.
func choose(want Datapath, probe error) (Datapath, error) {
	switch {
	case want == Userspace:
		return Userspace, nil
	case probe == nil:
		return Kernel, nil
	case want == Auto && errors.Is(probe, errNoModule):
		return Userspace, nil
	case errors.Is(probe, errNoModule):
		return "", fmt.Errorf("TUNNEL_DATAPATH=kernel: %w; load or install it, or use auto or userspace", probe)
	}
	return "", probe
}

// permission says what is missing where something is not permitted.
func permission(what string, err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%s: %w: run as root or give the process CAP_NET_ADMIN (in a container: --cap-add NET_ADMIN --device /dev/net/tun)", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
