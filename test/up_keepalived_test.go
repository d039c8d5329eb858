package test

import (
	"net"
	"strings"
	"testing"

	"panteras/internal/lab"
)

// TestUpHoldsTheFloatingAddress is a host with keepalived, the real one: it takes
// KEEPALIVED_VIP when HAProxy runs, and gives it back when everything stops.
func TestUpHoldsTheFloatingAddress(t *testing.T) {
	t.Parallel()
	const vip = "10.7.0.100"
	h := oneHost(t, append(only("consul", "consul-template"), "KEEPALIVED_VIP="+vip)...)
	h.up(t)
	h.ready(t, "consul", "consul-template", "haproxy", "keepalived")
	holds := func() bool {
		device, err := net.InterfaceByName("net0")
		if err != nil {
			t.Fatal(err)
		}
		addrs, err := device.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			if strings.HasPrefix(a.String(), vip+"/") {
				return true
			}
		}
		return false
	}
	lab.Eventually(t, readyTime, "the floating address", holds)
	h.must(t, "stop", "keepalived")
	if holds() {
		t.Error("the address stays on a host whose keepalived was stopped")
	}
}
