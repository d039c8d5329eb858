package page

import (
	"errors"
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"panteras/configs/haproxy"
	"panteras/launcher"
)

var tags = regexp.MustCompile(`<[^>]*>`)

// read is what a person reads in a part, with one blank between words.
func read(t *testing.T, s *snapshot) map[string]string {
	t.Helper()
	parts, err := render(s)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for id, text := range byID(parts) {
		all[id] = strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(string(text), " "))), " ")
	}
	return all
}

// wantParts looks for texts in parts.
func wantParts(t *testing.T, got map[string]string, want map[string][]string) {
	t.Helper()
	for id, texts := range want {
		for _, text := range texts {
			if !strings.Contains(got[id], text) {
				t.Errorf("%s lacks %q:\n%s", id, text, got[id])
			}
		}
	}
}

// fullSnapshot has one of everything that is shown.
func fullSnapshot(now time.Time) *snapshot {
	retry, recent, old, over := now.Add(23*time.Second), now.Add(-40*time.Second), now.Add(-connected), now.Add(-time.Hour)
	since := func(name string, state launcher.State) launcher.DaemonStatus {
		return launcher.DaemonStatus{Name: name, State: state, Ready: state == launcher.StateReady, Since: now.Add(-5 * time.Minute), LastExit: "signal killed after 2 h"}
	}
	waiting, backoff, ready := since("mesos-agent", launcher.StateWaiting), since("marathon", launcher.StateBackoff), since("dns", launcher.StateReady)
	waiting.WaitingFor = []string{"docker", "zookeeper"}
	backoff.Restarts, backoff.RetryAt, backoff.LastExit = 6, &retry, "exit code 1 after 3 s"
	backoff.Reason, backoff.Output = "it ends again and again", []string{"Address already in use"}
	ready.Pid, ready.Restarts = 4900, 2
	counted := func(at time.Time, answers, failures float64, upTo1, all uint64) dnsSample {
		return dnsSample{
			at: at, dropped: 7, routes: map[string]routeCount{"consul": {answers, failures, histogramOf(0.000512, upTo1, 0.016, all)}},
			upstreams: []upstream{
				{Address: "10.0.0.1:53", Role: "recursor", Up: true, Latency: 0.0112, Answers: 901, Timeouts: 12, NoAnswer: 3},
				{Address: "10.0.0.2:53", Role: "recursor", Timeouts: 88},
				{Address: "10.0.0.3:53", Role: "recursor", Up: true, Loop: true},
			},
		}
	}
	return &snapshot{
		now: now, facts: Facts{Host: "node-1", Gateway: true},
		status: reading[launcher.Status]{at: now, value: launcher.Status{Daemons: []launcher.DaemonStatus{
			waiting, backoff, ready, since("tunnel", launcher.StateReady), since("haproxy", launcher.StateReady), since("consul-template", launcher.StateReady), since("keepalived", launcher.StateDisabled),
		}}},
		consul: reading[string]{at: now, value: "10.0.0.1:8300"},
		dns: reading[dnsHistory]{at: now, value: dnsHistory{
			counted(now.Add(-10*time.Second), 1000, 10, 800, 1000), counted(now, 3600, 25, 2400, 3600),
		}},
		peers: reading[[]Peer]{at: now, value: []Peer{
			{Name: "alice", Addresses: []string{"10.99.0.2", "fd99::2"}, Enabled: true, LastHandshake: &recent, RxBytes: 700 << 20, TxBytes: 1536, Endpoint: "203.0.113.7:51820"},
			{Name: "bob", Enabled: true, LastHandshake: &old, RxBytes: 512, TxBytes: 3 << 30},
			{Name: "carol", Enabled: true},
			{Name: "dave", Enabled: true, LastHandshake: &recent, Expires: &over},
			{Name: "erin", LastHandshake: &recent},
		}},
		balancer: reading[Balancer]{at: now, value: Balancer{Written: now.Add(-3 * time.Minute), Report: &haproxy.Report{Reloaded: now.Add(-2 * time.Hour)}}},
	}
}

// TestFigures reads each value where it belongs.
func TestFigures(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	got := read(t, fullSnapshot(now))
	wantParts(t, got, map[string][]string{
		"daemons": {
			"mesos-agent waiting since 5 min restarts 0 Stop Log waits for docker, zookeeper The last process: signal killed after 2 h",
			"marathon backoff since 5 min restarts 6 Start Stop Log it ends again and again starts again in 23 s The last process: exit code 1 after 3 s Address already in use",
			"dns ready since 5 min restarts 2 pid 4900 Restart Stop Log tunnel",
			"Not on this host: keepalived.",
		},
		"dns": {
			"consul 260 512 µs 16.0 ms 1.5 3600",
			"10.0.0.1:53 recursor up 11.2 ms 901 12 3",
			"10.0.0.2:53 recursor down – 0 88 0",
			"10.0.0.3:53 recursor loops back here – 0 0 0",
			"Without an answer since the start: 7.",
		},
		"peers": {
			"alice connected address 10.99.0.2, fd99::2 last handshake 40 s ago received 700.0 MiB sent 1.5 KiB from 203.0.113.7:51820",
			"bob enabled address last handshake 3 min ago received 512 B sent 3.0 GiB",
			"carol enabled address last handshake never",
			"dave expired address last handshake 40 s ago received 0 B sent 0 B expires 2026-11-27 11:00 UTC",
			"erin disabled address last handshake 40 s ago",
		},
		"balancer": {"Last change from Consul 3 min ago, last reload 2 h ago.", "No service of Consul has the tag haproxy."},
		"cards":    {"Daemons 4 / 6 marathon: backoff", "Consul up leader 10.0.0.1:8300", "DNS 260 q/s 1 of 3 upstreams up", "Balancer 0 services, 0 servers", "Peers 1 / 5 connected"},
	})

	// What cannot be known now is not shown as if it were.
	s := fullSnapshot(now)
	s.status.value.Daemons[3].State, s.status.value.Daemons[3].Ready = launcher.StateFailed, false
	s.dns.value, s.dns.at, s.dns.err = s.dns.value[:1], now.Add(-30*time.Second), errors.New("connection refused")
	got = read(t, s)
	wantParts(t, got, map[string][]string{
		"peers": {"The gateway does not run: it is failed since 5 min.", "alice enabled address 10.99.0.2, fd99::2 last handshake – received – sent –"},
		"dns":   {"Its figures cannot be read: connection refused. What is shown is from 30 s ago.", "consul … – – … 1000"},
		"cards": {"DNS ? no figures", "Peers 0 / 5 see below"},
	})
	if strings.Contains(got["peers"], "connected") || strings.Contains(got["peers"], "203.0.113.7") {
		t.Errorf("peers of a gateway that has failed are shown as %s", got["peers"])
	}
}

// TestMostIsShown has one more of everything than is shown.
func TestMostIsShown(t *testing.T) {
	t.Parallel()
	s := fullSnapshot(time.Now())
	report := s.balancer.value.Report
	const services, servers, findings = mostServices + 3, mostServers + 2, mostFindings + 4
	for i := range services {
		report.Backends = append(report.Backends, haproxy.Backend{Name: fmt.Sprintf("backend_s%d", i), Service: fmt.Sprintf("s%d", i), Hosts: []string{"h"}})
	}
	for i := range servers {
		report.Backends[0].Servers = append(report.Backends[0].Servers, haproxy.Server{Address: fmt.Sprintf("10.1.0.%d:80", i), Weight: 42})
	}
	for i := range findings {
		report.Findings = append(report.Findings, haproxy.Finding{Service: fmt.Sprintf("f%d", i), Message: "is refused"})
	}
	got := read(t, s)
	wantParts(t, got, map[string][]string{
		"balancer": {
			fmt.Sprintf("10.1.0.%d:80 weight 42 and 2 more s1 ", mostServers-1),
			fmt.Sprintf("f%d is refused and 4 more; see panteras haproxy report", mostFindings-1),
			"And 3 more; see panteras haproxy report",
		},
		"cards": {fmt.Sprintf("Balancer %d services, %d findings", services, findings)},
	})
	for _, text := range []string{fmt.Sprintf("10.1.0.%d:80", mostServers), fmt.Sprintf("f%d is", mostFindings), fmt.Sprintf("s%d ", mostServices)} {
		if strings.Contains(got["balancer"], text) {
			t.Errorf("%s is more than is to be shown", text)
		}
	}
}
