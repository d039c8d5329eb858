package device

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestChooseTakesNoErrorForAMissingModule(t *testing.T) {
	t.Parallel()
	denied := permission("cannot make network interfaces", unix.EPERM)
	for _, test := range []struct {
		want  Datapath
		probe error
		got   Datapath
		says  string
	}{
		{Auto, nil, Kernel, ""},
		{Auto, errNoModule, Userspace, ""},
		{Auto, denied, "", "CAP_NET_ADMIN"},
		{Kernel, nil, Kernel, ""},
		{Kernel, errNoModule, "", "TUNNEL_DATAPATH"},
		{Kernel, denied, "", "CAP_NET_ADMIN"},
		{Userspace, nil, Userspace, ""},
		{Userspace, denied, Userspace, ""},
	} {
		got, err := choose(test.want, test.probe)
		if got != test.got || (err == nil) != (test.says == "") || !strings.Contains(fmt.Sprint(err), test.says) {
			t.Errorf("%s, probe %v: %s, %v", test.want, test.probe, got, err)
		}
	}
}

// What the kernel answers to the question for an interface that cannot be, and who encrypts
// then. Kernels with WireGuard are not at hand everywhere; their answers are.
func TestProbeReadsTheAnswer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answer error
		auto   Datapath
		says   string
	}{
		{nil, Kernel, ""},
		{unix.EINVAL, Kernel, ""}, // the kind is known, the MTU cannot be
		{unix.ERANGE, Kernel, ""},
		{unix.EOPNOTSUPP, Userspace, ""}, // "Unknown device type"
		{unix.EAFNOSUPPORT, Userspace, ""},
		{unix.EPERM, "", "CAP_NET_ADMIN"},
		{unix.EACCES, "", "CAP_NET_ADMIN"},
		{unix.ENOMEM, "", "cannot make network interfaces"},
		{unix.EBUSY, "", "cannot make network interfaces"},
	} {
		got, err := choose(Auto, probed(test.answer))
		if got != test.auto || (err == nil) != (test.says == "") || !strings.Contains(fmt.Sprint(err), test.says) {
			t.Errorf("%v: %q, %v", test.answer, got, err)
		}
	}
}

func TestInnerMTU(t *testing.T) {
	t.Parallel()
	for underlay, want := range map[int]int{1500: 1420, 1400: 1320, 9000: 8920, 1300: 1280, 576: 1280} {
		if got := InnerMTU(underlay); got != want {
			t.Errorf("over %d: %d, want %d", underlay, got, want)
		}
	}
}
