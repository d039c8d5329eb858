package lab

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestDnsmasqForwardsToAnUpstream(t *testing.T) {
	t.Parallel()
	upstream := NewUpstream(t, Script(Reply(Answers("@ 0 IN A 192.0.2.1"))))
	server := Dnsmasq(t, fmt.Sprintf("--server=%s#%d", upstream.Addr.Addr(), upstream.Addr.Port()), "--address=/www.example/192.0.2.2")
	if got := upstream.Stats(); got.UDP+got.TCP != 0 {
		t.Errorf("waiting for dnsmasq sent queries through it: %+v", got)
	}
	for name, want := range map[string]string{"python.service.consul": "192.0.2.1", "www.example": "192.0.2.2"} {
		reply, err := Ask(server.Addr, "udp", name, dns.TypeA)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{want}, addresses(reply)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRunDig(t *testing.T) {
	t.Parallel()
	upstream := NewUpstream(t, Script(Reply(Answers("@ 0 IN TXT hello"))))
	server, port := "@"+upstream.Addr.Addr().String(), fmt.Sprint(upstream.Addr.Port())
	if got := RunDig(t, server, "-p", port, "+short", "www.example", "TXT"); got != "\"hello\"\n" {
		t.Errorf("dig printed %q", got)
	}
	upstream.CloseUDP()
	message := failure(t, func(t testing.TB) {
		RunDig(t, server, "-p", port, "+tries=1", "+timeout=1", "www.example", "TXT")
	})
	if !strings.Contains(message, "exit status 9") {
		t.Errorf("dig without a reply: %q", message)
	}
}
