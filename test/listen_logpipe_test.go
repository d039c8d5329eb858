package test

import (
	"bufio"
	"os"
	"os/exec"
	"testing"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// Whoever reads the log may die; the host's names must not die with it.
func TestADeadLogReaderDoesNoHarm(t *testing.T) {
	t.Parallel()
	recursor := scripted(t, always("192.0.2.1"))
	addr := loopback4(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(panterasPath(t), "dns", "--dns-listen="+addr.String(), "--metrics-listen=off", "--log-queries=on",
		to("--consul-dns", recursor), to("--dns-upstreams", recursor))
	cmd.Env, cmd.Stderr, cmd.Dir = dnsdEnv, w, t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	w.Close()
	if line, err := bufio.NewReader(r).ReadString('\n'); err != nil {
		t.Fatalf("no log: %q, %v", line, err)
	}
	r.Close()
	for range 50 {
		lab.Eventually(t, patience, "an answer", func() bool {
			reply, err := exchange("udp", addr, ednsQuery("www.example.org", dns.TypeA))
			return err == nil && hasAddress(reply, "192.0.2.1") == nil
		})
	}
	select {
	case err := <-ended:
		t.Errorf("the server has ended: %v", err)
		ended <- err
	default:
	}
}
