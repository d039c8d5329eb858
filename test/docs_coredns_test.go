package test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// coreDNSPage has blocks for CoreDNS.
const coreDNSPage = "docs/with-kubernetes.md"

// coreDNSOfPages runs CoreDNS with what a page has it do, on a node of a cluster from which
// the second host of the page cannot be reached, and asks it for the platform's names.
func coreDNSOfPages(t *testing.T, h *typedHost) {
	t.Helper()
	node := bareHost(t)
	connect(t, node, "eth0", "10.8.0.2/24", h.host, "cluster", "10.8.0.1/24")
	node.route(t, "10.7.0.0/24", "10.8.0.1")
	node.run(t, "ip", "route", "add", "unreachable", "10.7.0.2/32")
	for _, b := range readPage(t, coreDNSPage).blocks {
		if b.info != "text corefile" {
			continue
		}
		const caching = ":5300" // where the same is with a cache
		file := filepath.Join(t.TempDir(), "Corefile")
		put(t, file, b.body+strings.NewReplacer(":53 {", caching+" {\n    cache").Replace(b.body))
		node.do(t, func() {
			lab.Start(t, exec.Command(lab.Built(t, "coredns"), "-quiet", "-conf", file))
		})
		for _, q := range []struct {
			name string
			kind uint16
		}{
			{"python.service.consul.", dns.TypeA},
			{"python.service.consul.", dns.TypeSRV},
			{"nothing.service.consul.", dns.TypeA},
			{"python.my.own.domain.com.", dns.TypeA},
		} {
			want, err := node.asks(t, typedIP+":53", q.name, q.kind)
			if err != nil || want.Rcode == dns.RcodeSuccess && len(want.Answer) == 0 {
				t.Fatalf("%s: the host's DNS server says %v, %v", q.name, want, err)
			}
			var got *dns.Msg
			lab.Eventually(t, patience, "CoreDNS to answer", func() bool {
				got, err = node.asks(t, "127.0.0.1:53", q.name, q.kind)
				return err == nil && got.Rcode != dns.RcodeServerFailure
			})
			if said, should := records(got.Answer), records(want.Answer); got.Rcode != want.Rcode || !slices.Equal(said, should) {
				t.Errorf("%s:%d: CoreDNS says of %s %s %q, want %s %q", b.page, b.line, q.name, dns.RcodeToString[got.Rcode], said, dns.RcodeToString[want.Rcode], should)
			}
		}
		cached, err := node.asks(t, "127.0.0.1"+caching, "python.service.consul.", dns.TypeA)
		if err != nil || len(cached.Answer) != 1 || cached.Answer[0].Header().Ttl < 5 {
			t.Errorf("%s: a cache in CoreDNS keeps no answer for 5 s: %v, %v", b.page, cached, err)
		}
	}
}
