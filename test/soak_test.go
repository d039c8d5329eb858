package test

import (
	"fmt"
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

	overTCP := askOverTCP(t, d.addr, 10*time.Millisecond, load.over, [2]string{"www.example.org.", soakRecursor})

	samples := soakSamples{}
	over := time.Now().Add(duration)
	rest := func(part time.Duration) { samples.during(t, d.Pid(), min(part, time.Until(over))) }
	cycle := min(soakCycle, duration/4)
	changes, reloads := 0, 0
	var again []float64 // seconds from the answers of a Consul that is back to ours
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
		back := time.Now()
		lab.Eventually(t, leaderPatience, "Consul's names to be answered again", func() bool {
			reply, err := exchange("udp", d.addr, plainQuery(soakServices[0]+".service.consul", dns.TypeA))
			return err == nil && hasAddress(reply, soakService) == nil
		})
		load.windowCloses()
		again = append(again, time.Since(back).Seconds())
		rest(cycle / 2)
	}
	load.stop()
	t.Logf("%v: %d changes of resolv.conf, %d reloads, %d restarts of Consul, whose names were answered again %.2f s after it answered; %s",
		load.took.Round(time.Second), changes, reloads, len(again), again, samples.String())
	load.judge(t, rate)
	overTCP()
	if best := slices.Min(again); best > againTime.Seconds() {
		t.Errorf("names of Consul were answered %.2f s after it answered at best, want %v at most", best, againTime)
	}
	if d.metric(t, "panteras_dns_moved_to_tcp_total") == 0 {
		t.Error("no query was moved to TCP: forged answers were not tried")
	}
	samples.flat(t)
}

// againTime is how long after Consul the server may answer for it. It looks every 150 ms whether a Consul that is down is back.
const againTime = time.Second

// leaderPatience is how long a Consul may take to come back on a busy machine.
const leaderPatience = 2 * time.Minute

// soakSamples are what the server took, looked at each second.
type soakSamples struct {
	memory, files []int // kB, descriptors
}

// during waits, and looks.
func (s *soakSamples) during(t testing.TB, pid int, wait time.Duration) {
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
