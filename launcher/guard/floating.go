package guard

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"panteras/launcher"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// requestFloating tells the guard of a floating address: the device and the address.
const requestFloating = "floating "

// RemoveFloating takes an address that keepalived left behind from its device. It touches
// only what keepalived puts there: the address without a network (a prefix of full
// length). It does nothing where that is not there, and fails without CAP_NET_ADMIN.
func RemoveFloating(f launcher.Floating) error {
	if f.Device == "" || !f.Addr.IsValid() {
		return nil
	}
	link, err := netlink.LinkByName(f.Device)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	var addrs []netlink.Addr
	if err == nil {
		addrs, err = netlink.AddrList(link, netlink.FAMILY_ALL)
	}
	if err != nil {
		return fmt.Errorf("cannot look whether %s still has the floating address %s: %w", f.Device, f.Addr, err)
	}
	for _, a := range addrs {
		ones, bits := a.Mask.Size()
		if !a.IP.Equal(net.IP(f.Addr.AsSlice())) || ones != bits {
			continue
		}
		if err := netlink.AddrDel(link, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("cannot take the floating address %s, which keepalived left, from %s: %w; run `ip address del %s/%d dev %s`", f.Addr, f.Device, err, f.Addr, bits, f.Device)
		}
	}
	return nil
}

// Floats tells the guard which floating address a daemon may have from now on: whoever of
// the two outlives the other takes it from the device with everything else.
func (l *Link) Floats(f launcher.Floating) {
	l.floating.Store(&f)
	_, _ = l.file.WriteString(requestFloating + f.Device + " " + f.Addr.String()) // without a guard there is no process
}

// parseFloating reads what follows requestFloating; what is none of it is no address.
func parseFloating(text string) launcher.Floating {
	device, addr, _ := strings.Cut(text, " ")
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return launcher.Floating{}
	}
	return launcher.Floating{Device: device, Addr: a}
}

// drop takes the floating address away when all daemons have been killed.
func drop(f launcher.Floating) {
	if err := RemoveFloating(f); err != nil {
		fmt.Fprintf(os.Stderr, "panteras: %v\n", err)
	}
}
