package resolv

import (
	"fmt"
	"testing"
)

func TestNameservers(t *testing.T) {
	got := Nameservers("# nameserver 1.1.1.1\nsearch x\nnameserver 10.0.0.1\n\tnameserver fe80::1%eth0 # x\nnameserver\nnameserver nonsense\n")
	if fmt.Sprint(got) != "[10.0.0.1 fe80::1%eth0]" {
		t.Errorf("%v", got)
	}
}
