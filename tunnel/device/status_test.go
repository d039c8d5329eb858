package device

import (
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

func TestParseStatus(t *testing.T) {
	t.Parallel()
	a, b := key(1), key(2)
	text := "private_key=" + hex.EncodeToString(a[:]) + "\nlisten_port=51820\n" +
		"public_key=" + hex.EncodeToString(a[:]) + "\npreshared_key=00\nprotocol_version=1\nendpoint=[fd00::7]:4711\nlast_handshake_time_sec=1700000000\nlast_handshake_time_nsec=5\n" +
		"tx_bytes=17\nrx_bytes=4\npersistent_keepalive_interval=0\nallowed_ip=10.0.0.2/32\n" +
		"public_key=" + hex.EncodeToString(b[:]) + "\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=0\nrx_bytes=0\n"
	want := map[wgtypes.Key]PeerStatus{
		a: {LastHandshake: time.Unix(1700000000, 5), Endpoint: netip.MustParseAddrPort("[fd00::7]:4711"), Received: 4, Sent: 17},
		b: {},
	}
	got, err := parseStatus([]byte(text))
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	for _, broken := range []string{"public_key=00", "public_key=" + hex.EncodeToString(a[:31]) + "zz", "rx_bytes=many", "endpoint=nowhere", "last_handshake_time_sec=x"} {
		if got, err := parseStatus([]byte(broken + "\n")); err == nil {
			t.Errorf("%q: %v", broken, got)
		}
	}
}
