package device

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"panteras/internal/lab"
)

// An interface of this process that is made, used and closed leaves nothing: no interface,
// no socket, no open file; and no goroutine, see TestMain.
func TestNothingIsLeftOfAnInterface(t *testing.T) {
	ownNetwork(t)
	files := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	name := fmt.Sprintf("wgt%d", os.Getpid()) // its control socket is in a folder of the whole machine
	private, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	config := &Config{PrivateKey: private, Port: 51820}
	for i := range 5 {
		config.Peers = append(config.Peers, Peer{PublicKey: key(byte(i)), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 99, 0, byte(2 + i)})}})
	}
	before := 0
	for i := range 3 {
		d, err := Open(Options{Name: name, Datapath: Userspace, MTU: 1420, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{len(config.Peers) + 2, 0} { // the key and the port are changes as well
			if changed, err := d.Apply(config); err != nil || changed != want {
				t.Errorf("%d changes, want %d; %v", changed, want, err)
			}
		}
		if err := d.Up(); err != nil {
			t.Fatal(err)
		}
		// It says of its peers what wgctrl does, by the socket that others use too.
		ours, err := d.Status()
		other := &Device{name: name, client: d.client}
		theirs, err2 := other.Status()
		if err != nil || err2 != nil || len(ours) != len(config.Peers) || !maps.Equal(ours, theirs) {
			t.Errorf("%v, %v: %v, and by wgctrl %v", err, err2, ours, theirs)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := netlink.LinkByName(name); err == nil {
			t.Error("the interface is left")
		}
		if _, err := os.Stat("/var/run/wireguard/" + name + ".sock"); !os.IsNotExist(err) {
			t.Errorf("the control socket is left: %v", err)
		}
		if i == 0 {
			before = files() // the first one opens what the runtime keeps, such as its poller
		}
	}
	// wireguard-go leaves a listener of each control socket to the garbage collector.
	lab.Eventually(t, 10*time.Second, fmt.Sprintf("no more than %d files to be open", before), func() bool {
		runtime.GC()
		return files() <= before
	})
}

// An interface that is taken away, or gets another name, by which the firewall does not know
// it, is missed as soon as somebody looks who follows the network; also where there is another
// one of its name by then. What was renamed is not left with its peers.
func TestAnInterfaceThatGoesIsMissed(t *testing.T) {
	for _, test := range []struct{ adopted, renamed, replaced bool }{
		{adopted: true}, {adopted: true, replaced: true}, {adopted: true, renamed: true}, {renamed: true}, {renamed: true, replaced: true}, {},
	} {
		t.Run(fmt.Sprintf("%+v", test), func(t *testing.T) {
			ownNetwork(t)
			log := slog.New(slog.NewTextHandler(io.Discard, nil))
			name := fmt.Sprintf("wga%d", os.Getpid())
			if test.adopted {
				other, err := newEngine(Options{Name: name, MTU: 1420, Log: log})
				if err != nil {
					t.Fatal(err)
				}
				defer other.close()
			}
			d, err := Open(Options{Name: name, Datapath: map[bool]Datapath{true: Auto, false: Userspace}[test.adopted], MTU: 1420, Log: log})
			if err != nil || d.Adopted() != test.adopted {
				t.Fatal(err, "it was taken over, or not")
			}
			done := make(chan struct{})
			defer close(done)
			changes, err := Watch(done)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.SetLink(1400, nil); err != nil {
				t.Fatal(err)
			}
			select {
			case <-d.Gone():
				t.Fatal("it is missed although it is there")
			default:
			}
			ours := link(t, name)
			if test.renamed {
				err = netlink.LinkSetName(ours, "renamed")
			} else {
				err = netlink.LinkDel(ours)
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.replaced {
				if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "another"}); err != nil {
					t.Fatal(err)
				}
			}
			deadline := time.After(20 * time.Second)
			for gone := false; !gone; {
				select {
				case <-changes:
					_, _ = d.SetLink(1400, nil)
				case <-d.Gone():
					gone = true
				case <-deadline:
					t.Fatal("nobody has noticed")
				}
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			if test.replaced {
				link(t, name) // which is not ours
			}
			if l, err := netlink.LinkByIndex(ours.Attrs().Index); err == nil {
				t.Errorf("ours is left as %s", l.Attrs().Name)
			}
		})
	}
}

// A packet for a peer that comes before it is called on calls on it where it was. Nowhere would
// be no better: the next handshake would come 5 s later.
func TestAPacketThatComesFirstCallsOnThePeer(t *testing.T) {
	ownNetwork(t)
	var err error
	var sockets [2]*net.UDPConn // the peer's, and ours: the engine would open one wherever its goroutine is
	for i := range sockets {
		if sockets[i], err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
			t.Fatal(err)
		}
		defer sockets[i].Close()
	}
	there := sockets[0]
	ours, err := sockets[1].File()
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(Options{Name: fmt.Sprintf("wgc%d", os.Getpid()), Datapath: Userspace, MTU: 1420, Sockets: []*os.File{ours}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var keys [2]wgtypes.Key
	for i := range keys {
		if keys[i], err = wgtypes.GeneratePrivateKey(); err != nil {
			t.Fatal(err)
		}
	}
	_, err = d.Apply(&Config{PrivateKey: keys[0], Port: sockets[1].LocalAddr().(*net.UDPAddr).AddrPort().Port(), Peers: []Peer{{
		PublicKey: keys[1].PublicKey(), Addresses: []netip.Addr{netip.MustParseAddr("10.99.0.2")}, Endpoint: there.LocalAddr().(*net.UDPAddr).AddrPort(),
	}}})
	if err == nil {
		_, err = d.SetLink(1420, []netip.Prefix{netip.MustParsePrefix("10.99.0.1/16")})
	}
	if err == nil {
		err = d.Up()
	}
	if err != nil {
		t.Fatal(err)
	}
	packet, err := net.Dial("udp4", "10.99.0.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer packet.Close()
	if _, err := packet.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	const initiation, size = 1, 148 // WireGuard's paper, 5.4.2
	_ = there.SetReadDeadline(time.Now().Add(20 * time.Second))
	message := make([]byte, 1500)
	if n, err := there.Read(message); err != nil || n != size || message[0] != initiation {
		t.Errorf("%d bytes, %v", n, err)
	}
}
