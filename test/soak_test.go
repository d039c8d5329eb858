package test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// soakPlan is how long and how hard: a minute at a rate that any machine reaches, unless
// SOAKTIME (a duration) and SOAKRATE (queries a second) say otherwise, as `make soak` does.
func soakPlan(t testing.TB) (duration time.Duration, rate int) {
	t.Helper()
	duration, rate = time.Minute, 1000
	var err error
	if s := os.Getenv("SOAKTIME"); s != "" {
		if duration, err = time.ParseDuration(s); err != nil {
			t.Fatalf("SOAKTIME: %v", err)
		}
	}
	if s := os.Getenv("SOAKRATE"); s != "" {
		if rate, err = strconv.Atoi(s); err != nil || rate < 100 {
			t.Fatalf("SOAKRATE is %q, want a number of at least 100", s)
		}
	}
	return duration, rate
}

// soakCycle is how often everything happens once; a short soak has four of them.
const soakCycle = time.Minute

// A server that is asked without end, while its Consul is restarted, its recursors change, its
// settings are read again, and a hundredth of what it gets is garbage, loses no query: each gets its
// right answer, or, of Consul's while that restarts, any. Its memory and its descriptors stay what
// they are.
func TestSoak(t *testing.T) {
	t.Parallel()
	duration, rate := soakPlan(t)
	ownNetwork(t)
	home := hereNow(t)
	t.Cleanup(func() { home.net.Close(); home.mnt.Close() })
	addAddress(t, "net0", "10.9.0.1/24")
	addAddress(t, "net0", "10.9.0.2/24")
	etc := ownEtc(t, map[string]string{"resolv.conf": "nameserver 10.9.0.1\n", "hosts": "127.0.0.1 localhost\n"})
	for _, address := range []string{"10.9.0.1", "10.9.0.2"} {
		quickRecursor(t, address)
	}
	node := lab.Consul(t, lab.ConsulOptions{Dial: home.DialContext})
	for _, name := range soakServices {
		node.Register(t, lab.Instances(name, 1, 1)...)
	}
	consulAnswers := func() {
		for _, name := range soakServices {
			node.WaitDNS(t, name+".service.consul", dns.TypeA, func(reply *dns.Msg) bool { return len(reply.Answer) == 1 })
		}
	}
	consulAnswers()
	d := startDNSD(t, "--consul-dns="+node.DNS.String())
	load := startSoakLoad(t, d.addr, rate)

	samples := soakSamples{drops: socketDrops{}}
	over := time.Now().Add(duration)
	rest := func(part time.Duration) { samples.during(t, d.addr, d.Pid(), min(part, time.Until(over))) }
	cycle := min(soakCycle, duration/4)
	restarts, changes, reloads := 0, 0, 0
	for time.Now().Before(over) {
		put(t, filepath.Join(etc, "resolv.conf"), fmt.Sprintf("nameserver 10.9.0.%d\n", 2-changes%2))
		changes++
		rest(cycle / 4)
		d.reload(t, reloaded)
		reloads++
		rest(cycle / 4)
		load.windowOpens()
		node.Restart(t)
		node.WaitLeader(t)
		consulAnswers()
		lab.Eventually(t, leaderPatience, "Consul's names to be answered again", func() bool {
			reply, err := exchange("udp", d.addr, plainQuery(soakServices[0]+".service.consul", dns.TypeA))
			return err == nil && hasAddress(reply, soakService) == nil
		})
		load.windowCloses()
		restarts++
		rest(cycle / 2)
	}
	load.stop()
	lost := load.lost()
	t.Logf("%v: %d queries (%.0f a second of %d wanted), %d of them garbage; %d restarts of Consul, %d changes of resolv.conf, %d reloads",
		duration, load.sent.Load()+load.garbage.Load(), float64(load.sent.Load())/duration.Seconds(), rate, load.garbage.Load(), restarts, changes, reloads)
	samples.drops.look(t, d.addr, d.Pid())
	dropped := droppedByKernel(t) - samples.drops.sum()
	t.Logf("%d without an answer (%d datagrams were dropped by full sockets of the test's own, %d by the server's), %d with a wrong one, %d failed while Consul restarted; %s",
		len(lost), dropped, samples.drops.sum(), len(load.wrong), load.excused.Load(), samples.String())
	if len(load.wrong) > 0 {
		t.Errorf("%d wrong answers, such as: %s", len(load.wrong), load.wrong[0])
	}
	if len(lost) > dropped {
		t.Errorf("%d queries without an answer, such as: %s", len(lost), lost[0])
	}
	if load.answered.Load() == 0 || restarts == 0 {
		t.Error("nothing was tried")
	}
	samples.flat(t)
}

// leaderPatience is how long a Consul may take to come back on a busy machine.
const leaderPatience = 2 * time.Minute

// soakSamples are what the server took, looked at each second.
type soakSamples struct {
	memory, files []int // kB, descriptors
	drops         socketDrops
}

// during waits, and looks.
func (s *soakSamples) during(t testing.TB, server netip.AddrPort, pid int, wait time.Duration) {
	t.Helper()
	if wait <= 0 {
		return
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-over.C:
			return
		case <-tick.C:
			s.memory = append(s.memory, status(t, pid, "VmRSS"))
			s.files = append(s.files, descriptors(t, pid))
			s.drops.look(t, server, pid)
		}
	}
}

// quarter is the median of one of the four parts of a series.
func quarter(series []int, i int) int {
	part := slices.Clone(series[len(series)*i/4 : max(len(series)*(i+1)/4, len(series)*i/4+1)])
	slices.Sort(part)
	return part[len(part)/2]
}

func (s *soakSamples) String() string {
	if len(s.memory) == 0 {
		return "no samples"
	}
	return fmt.Sprintf("memory by quarters %d, %d, %d, %d kB, at most %d; descriptors %d, %d, %d, %d", quarter(s.memory, 0), quarter(s.memory, 1), quarter(s.memory, 2),
		quarter(s.memory, 3), slices.Max(s.memory), quarter(s.files, 0), quarter(s.files, 1), quarter(s.files, 2), quarter(s.files, 3))
}

// flat fails the test if the last quarter needs clearly more than the second: the first is for
// growing into the load.
func (s *soakSamples) flat(t testing.TB) {
	t.Helper()
	if len(s.memory) < 4 {
		t.Errorf("only %d samples", len(s.memory))
		return
	}
	const slack, some = 8 << 10, 100 // kB; descriptors, for sockets that are replaced
	if before, after := quarter(s.memory, 1), quarter(s.memory, 3); after > before+before/4+slack {
		t.Errorf("memory grew from %d to %d kB", before, after)
	}
	if before, after := quarter(s.files, 1), quarter(s.files, 3); after > before+some {
		t.Errorf("descriptors grew from %d to %d", before, after)
	}
}
