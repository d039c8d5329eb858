package device

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
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
