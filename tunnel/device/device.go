package device

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// Options say which interface to make.
type Options struct {
	Name     string
	Datapath Datapath
	MTU      int
	// Source is the address that clients dial; invalid if they dial a name. Packets leave from
	// there while this host has it.
	Source netip.Addr
	// Sockets are UDP sockets for the tunnel that another process has opened and keeps open,
	// one of each address family, or one of IPv6 for both. They are used if they are of the
	// tunnel's port and this process encrypts; they belong to the device.
	Sockets []*os.File
	// Floating says that Source may be another host's, which is then the one that speaks:
	// without it nothing leaves. (Only the engine in this process knows; for the kernel's
	// there is the firewall.)
	Floating bool
	Log      *slog.Logger
}

// Device is the interface. It is not safe for concurrent use.
type Device struct {
	name     string
	datapath Datapath
	adopted  bool
	engine   *engine // nil if the interface is the kernel's, or another process's
	client   *wgctrl.Client
	claim    net.Listener
	sockets  []*os.File // that were handed over
	known    *Config    // what the interface was made last; nil if nobody can tell
	index    int        // the interface's, by which the kernel knows it whatever its name
	gone     chan struct{}
	lost     sync.Once // closes gone
	waits    sync.WaitGroup
}

// Open makes the interface, which stays down until Up. One that is there already and is
// WireGuard's is taken over with its sessions: a process that died left it, or another
// program serves it. Anything else of that name is an error.
func Open(o Options) (*Device, error) {
	d := &Device{name: o.Name, sockets: o.Sockets, gone: make(chan struct{})}
	if err := d.open(o); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Device) open(o Options) (err error) {
	// The kernel keeps such names apart by network namespace, as it does interfaces, and
	// forgets them with the process.
	// Whatever its interface, another gateway has the same table of rules, and each would put
	// its own in the place of the other's.
	if d.claim, err = net.Listen("unix", "@panteras-tunnel"); err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			return errors.New("another panteras gateway runs on this host; stop it: there can be one")
		}
		return err
	}
	if d.client, err = wgctrl.New(); err != nil {
		return permission("cannot configure WireGuard", err)
	}
	if d.adopted, err = d.adopt(o.Datapath); err != nil || d.adopted {
		d.letGo(o.Log)
		return errors.Join(err, d.remember())
	}
	datapath, err := choose(o.Datapath, Probe())
	if err != nil {
		return err
	}
	if datapath == Kernel {
		d.letGo(o.Log)
		err = netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: o.Name, MTU: o.MTU}})
		if err != nil {
			return permission("cannot make "+o.Name, err)
		}
	} else {
		if d.engine, err = newEngine(o); err != nil {
			return err
		}
		d.waits.Go(func() { <-d.engine.dev.Wait(); d.lose() })
	}
	d.datapath = datapath // from here on there is something to remove
	return d.remember()
}

// remember notes which interface is ours.
func (d *Device) remember() error {
	if d.datapath == "" {
		return nil // none
	}
	link, err := netlink.LinkByName(d.name)
	if err != nil {
		return permission("cannot look at "+d.name, err)
	}
	d.index = link.Attrs().Index
	return nil
}

// link finds the interface. That it is not there any more, or has another name, by which the
// firewall does not know it, is an error, and tells who waits for Gone.
func (d *Device) link() (netlink.Link, error) {
	link, err := netlink.LinkByIndex(d.index)
	missing := netlink.LinkNotFoundError{}
	switch {
	case errors.As(err, &missing):
		d.lose()
		return nil, fmt.Errorf("%s was removed by another program", d.name)
	case err != nil:
		return nil, permission("cannot look at "+d.name, err)
	case link.Attrs().Name != d.name:
		d.lose()
		return nil, fmt.Errorf("%s was renamed to %s by another program", d.name, link.Attrs().Name)
	}
	return link, nil
}

func (d *Device) lose() { d.lost.Do(func() { close(d.gone) }) }

// letGo closes sockets that were handed over and are of no use: the kernel, or the process
// that encrypts, has its own.
func (d *Device) letGo(log *slog.Logger) {
	if len(d.sockets) > 0 {
		log.Warn("the sockets that were handed over are not used: the tunnel's are those of who encrypts, the kernel or another process; do not hand any over", "interface", d.name)
	}
	closeAll(d.sockets)
	d.sockets = nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// adopt takes over an interface that is there. One of the kernel's is removed where this
// process is to encrypt.
func (d *Device) adopt(want Datapath) (bool, error) {
	link, err := netlink.LinkByName(d.name)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return false, nil
	}
	if err != nil {
		return false, permission("cannot look at "+d.name, err)
	}
	dev, err := d.client.Device(d.name)
	switch {
	case errors.Is(err, os.ErrPermission):
		return false, permission("cannot look at "+d.name, err)
	case err != nil:
		return false, fmt.Errorf("%s exists and is no WireGuard interface that answers (%w); remove it (ip link delete %s) or set TUNNEL_INTERFACE", d.name, err, d.name)
	}
	datapath := Userspace
	if dev.Type == wgtypes.LinuxKernel {
		datapath = Kernel
	}
	if want == Userspace && datapath == Kernel {
		return false, netlink.LinkDel(link)
	}
	if want == Kernel && datapath == Userspace {
		return false, fmt.Errorf("TUNNEL_DATAPATH=kernel: %s exists and is another process's; remove it (ip link delete %s)", d.name, d.name)
	}
	d.datapath = datapath
	return true, nil
}

// Datapath says who encrypts; never Auto.
func (d *Device) Datapath() Datapath { return d.datapath }

// Adopted says whether the interface was there before.
func (d *Device) Adopted() bool { return d.adopted }

// Apply makes keys and peers what they should be, and returns how many things had to
// change. Applied twice it changes nothing the second time.
func (d *Device) Apply(c *Config) (changed int, err error) {
	have, err := d.client.Device(d.name)
	if err != nil {
		return 0, permission("cannot read the peers of "+d.name, err)
	}
	return d.configure(configOf(have), c)
}

// Update is Apply for an interface that nobody else has changed since: it is not read,
// which takes most of the time where there are thousands of peers.
func (d *Device) Update(c *Config) (changed int, err error) {
	if d.known == nil {
		return d.Apply(c)
	}
	return d.configure(d.known, c)
}

// configure makes an interface that is so as it should be.
func (d *Device) configure(have, c *Config) (changed int, err error) {
	cfg, changed := diff(have, c)
	if changed == 0 {
		d.known = c
		return 0, nil
	}
	d.known = nil // until it has succeeded
	if err := d.client.ConfigureDevice(d.name, cfg); err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			return 0, fmt.Errorf("another program has UDP port %d; set TUNNEL_PORT: %w", c.Port, err)
		}
		return 0, permission("cannot configure "+d.name, err)
	}
	d.known = c
	return changed, nil
}

// Up brings the interface up; peers are heard from now on.
func (d *Device) Up() error {
	link, err := d.link()
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err == nil && d.engine != nil {
		err = d.engine.dev.Up() // it follows the interface by itself, but this way we see an error
	}
	if errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("another program has the tunnel's UDP port; set TUNNEL_PORT: %w", err)
	}
	if err != nil {
		return permission("cannot bring up "+d.name, err)
	}
	return nil
}

// Gone is closed when the interface was removed or renamed under our hands. That one of this
// process was removed its engine notices; all else is noticed by SetLink, which whoever
// follows [Watch] calls when an interface goes or changes.
func (d *Device) Gone() <-chan struct{} { return d.gone }

// Leave ends what this process does for the interface, for another one that does so right
// after. One that this process encrypts for ends with it; others go on with their sessions.
func (d *Device) Leave() error { return d.end(false) }

// Close removes the interface, whoever made it.
func (d *Device) Close() error { return d.end(true) }

func (d *Device) end(remove bool) error {
	var err error
	switch {
	case d.engine != nil:
		d.engine.close()
		d.waits.Wait()
	case d.index != 0 && remove:
		var link netlink.Link
		if link, err = netlink.LinkByIndex(d.index); err == nil { // also under another name
			err = netlink.LinkDel(link)
		}
		if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
			err = nil
		}
	}
	if d.client != nil {
		_ = d.client.Close()
	}
	if d.claim != nil {
		_ = d.claim.Close()
	}
	closeAll(d.sockets)
	return err
}
