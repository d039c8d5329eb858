package test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// A Consul that is killed and started again under load: its names are SERVFAIL and
// fast while it is gone, and right as soon as it says so itself; other names do not
// notice. Until then it may say NXDOMAIN: that is its word, and passed on.
func TestConsulDiesAndComesBack(t *testing.T) {
	t.Parallel()
	consul := lab.Consul(t, lab.ConsulOptions{})
	recursor := scripted(t, always(trueAddress))
	d := startDNSD(t, "--consul-dns="+consul.DNS.String(), to("--dns-upstreams", recursor))
	good := func(reply *dns.Msg) bool { return hasAddress(reply, "127.0.0.1") == nil }

	// A Consul that has just started may answer from a catalogue that is not back yet.
	// back is when it gave its own first good answer.
	var gone, restarted atomic.Bool
	var back atomic.Pointer[time.Time]
	empty := func(asked time.Time) bool {
		at := back.Load()
		return restarted.Load() && (at == nil || asked.Before(*at))
	}
	var failed, unknown, answered atomic.Int64
	ofConsul := func(asked time.Time, reply *dns.Msg) error {
		switch {
		case good(reply):
			answered.Add(1)
			return nil
		case gone.Load() && reply.Rcode == dns.RcodeServerFailure:
			failed.Add(1)
			return nil
		case empty(asked) && saysNotInConsul(reply):
			unknown.Add(1)
			return nil
		}
		return fmt.Errorf("(Consul is gone: %v, was asked while its catalogue may be empty: %v) got:\n%v", gone.Load(), empty(asked), reply)
	}
	names := []string{"consul.service.consul", "consul.service.dc1.consul", "lab-server.node.consul"}
	load := startLoad(t, d.addr, asker{network: "udp", names: []string{"www.example.org", "a.example.org"}, address: trueAddress},
		asker{network: "tcp", names: []string{"www.example.org", "b.example.org"}, address: trueAddress})

	for range 3 {
		consulLoad := startLoad(t, d.addr, asker{network: "udp", names: names, timed: ofConsul}, asker{network: "udp", names: names, timed: ofConsul},
			asker{network: "tcp", names: names, timed: ofConsul})
		lab.Eventually(t, patience, "the load to go on", consulLoad.more(200))
		gone.Store(true)
		consul.Kill()
		for i := range 5 {
			for _, network := range []string{"udp", "tcp"} {
				within(t, atOnce, "SERVFAIL while Consul is gone", func() {
					wantServFail(t, d.ask(t, network, ednsQuery(fmt.Sprintf("n%d.service.consul", i), dns.TypeA)))
				})
			}
		}
		restarted.Store(true)
		consul.Restart(t)
		for _, name := range names {
			lab.Eventually(t, 60*time.Second, "Consul to answer by itself", func() bool {
				reply, err := lab.Ask(consul.DNS, "udp", name, dns.TypeA)
				return err == nil && good(reply)
			})
		}
		now := time.Now()
		back.Store(&now)
		// What is promised is within 1 s; the bound here leaves room for a loaded machine.
		for _, network := range []string{"udp", "tcp"} {
			within(t, soon, "an answer through us after Consul's own first good one, over "+network, func() {
				lab.Eventually(t, patience, "an answer through us", func() bool {
					reply, err := exchange(network, d.addr, ednsQuery("consul.service.consul", dns.TypeA))
					return err == nil && good(reply)
				})
			})
		}
		before := answered.Load()
		lab.Eventually(t, patience, "the load to be answered again", func() bool { return answered.Load() > before+20 })
		consulLoad.stopAndCheck(t)
		gone.Store(false)
		restarted.Store(false)
		back.Store(nil)
	}
	load.stopAndCheck(t)
	if failed.Load() == 0 {
		t.Error("no query met a dead Consul: the test proves nothing")
	}
	t.Logf("%d good answers of Consul's, %d failures, %d from an empty catalogue", answered.Load(), failed.Load(), unknown.Load())
}

// saysNotInConsul says whether an answer is NXDOMAIN as Consul itself says it: with
// the SOA record of its domain.
func saysNotInConsul(reply *dns.Msg) bool {
	if reply.Rcode != dns.RcodeNameError || len(reply.Answer) > 0 || len(reply.Ns) != 1 {
		return false
	}
	soa, ok := reply.Ns[0].(*dns.SOA)
	return ok && soa.Hdr.Name == "consul." && soa.Ns == "ns.consul." && soa.Mbox == "hostmaster.consul."
}
