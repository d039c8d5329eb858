package listen

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNobodyWhoCanBeNamedIsAnotherProcess(t *testing.T) {
	t.Parallel()
	if got := (&InUseError{Addr: netip.MustParseAddrPort("127.0.0.53:53"), Network: "udp"}).Error(); !strings.Contains(got, "another process") {
		t.Error(got)
	}
}
