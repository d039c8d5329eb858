package test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"panteras/internal/lab"
)

// What people type first.
func TestDig(t *testing.T) {
	t.Parallel()
	node := lab.Consul(t, lab.ConsulOptions{})
	node.Register(t, lab.Instances("python", 4, 4)...)
	r := newRecursor(t, onlyExample)
	f := startForwarder(t, node.DNS, r.Addr)
	dig := func(args ...string) digOutput {
		t.Helper()
		server := []string{"@" + f.Addr.Addr().String(), "-p", fmt.Sprint(f.Addr.Port())}
		return digOutput{t, lab.RunDig(t, append(server, args...)...)}
	}

	srv := dig("python.service.consul", "+tcp", "SRV")
	srv.has("status: NOERROR", "flags: qr aa rd ra; QUERY: 1, ANSWER: 4, AUTHORITY: 0, ADDITIONAL: 5", "(TCP)")
	srv.counts(4, `(?m)^python\.service\.consul\.\s+0\s+IN\s+SRV\s+1 1 3100[0-3] node-[1-4]\.node\.dc1\.consul\.$`)
	srv.counts(4, `(?m)^node-[1-4]\.node\.dc1\.consul\.\s+0\s+IN\s+A\s+10\.1\.0\.[1-4]$`)

	spelled := dig("PyThOn.Service.Consul", "A")
	spelled.has("status: NOERROR", ";PyThOn.Service.Consul.", "flags: qr aa rd ra;")
	spelled.counts(4, `(?m)^PyThOn\.Service\.Consul\.\s+0\s+IN\s+A\s+10\.1\.0\.[1-4]$`)

	none := dig("nothere.service.consul", "A")
	none.has("status: NXDOMAIN", "ANSWER: 0, AUTHORITY: 1")
	none.counts(1, `(?m)^consul\.\s+0\s+IN\s+SOA\s+ns\.consul\. hostmaster\.consul\. \d+ 3600 600 86400 0$`)

	other := dig("example.com", "A")
	other.has("status: NOERROR", "flags: qr rd ra;")
	other.counts(1, `(?m)^example\.com\.\s+300\s+IN\s+A\s+192\.0\.2\.80$`)

	if got := strings.Join(r.asked(), " "); got != "example.com." {
		t.Errorf("the recursor was asked for %s: only what is not Consul's should reach it", got)
	}
}

// digOutput is what dig printed.
type digOutput struct {
	t    *testing.T
	text string
}

func (d digOutput) has(parts ...string) {
	d.t.Helper()
	for _, part := range parts {
		if !strings.Contains(d.text, part) {
			d.t.Errorf("dig did not print %q:\n%s", part, d.text)
		}
	}
}

func (d digOutput) counts(n int, line string) {
	d.t.Helper()
	if got := len(regexp.MustCompile(line).FindAllString(d.text, -1)); got != n {
		d.t.Errorf("dig printed %d lines like %s, not %d:\n%s", got, line, n, d.text)
	}
}
