package test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// Many programs write resolv.conf and the hosts file in place: for a moment they are
// empty. That is not the end of all recursors.
func TestHostFilesWrittenInPlace(t *testing.T) {
	t.Parallel()
	ownNetwork(t)
	addAddress(t, "net0", "10.9.0.1/24")
	addAddress(t, "net0", "10.9.0.2/24")
	etc := ownEtc(t, map[string]string{"resolv.conf": "nameserver 10.9.0.1\n", "hosts": "10.1.1.1 printer\n"})
	recursorOn(t, "10.9.0.1", "192.0.2.1")
	recursorOn(t, "10.9.0.2", "192.0.2.2")
	d := startDNSD(t)
	load := startLoad(t, d.addr,
		asker{network: "udp", names: []string{"www.example.org"}, check: func(_ string, reply *dns.Msg) error {
			if hasAddress(reply, "192.0.2.1") == nil {
				return nil
			}
			return hasAddress(reply, "192.0.2.2")
		}},
		asker{network: "udp", names: []string{"printer"}, address: "10.1.1.1"})
	for _, server := range []string{"2", "1", "2"} {
		for file, text := range map[string]string{"resolv.conf": "nameserver 10.9.0." + server + "\n", "hosts": "10.1.1.1 printer\n"} {
			writeSlowly(t, filepath.Join(etc, file), text)
		}
		lab.Eventually(t, patience, "the recursor to change", func() bool {
			reply, err := exchange("udp", d.addr, ednsQuery("www.example.org", dns.TypeA))
			return err == nil && hasAddress(reply, "192.0.2."+server) == nil
		})
	}
	load.stopAndCheck(t)
}

// writeSlowly empties a file, and writes it half a second later.
func writeSlowly(t testing.TB, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(500 * time.Millisecond)
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
