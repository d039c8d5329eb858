package test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"panteras/internal/lab"
)

// goals are how many times the throughput of another way the tunnel's is to be.
var goals = []struct {
	way   string
	times float64
}{{wireguardGo, 0.95}, {openVPNWay, 2}, {sshuttleWay, 6}}

// ratios are ours divided by theirs, round by round: what slows one of them down mostly
// slows down the other one of the same round too. Rounds where either failed are left out.
func ratios(ours, theirs []float64) (out []float64) {
	for i := range min(len(ours), len(theirs)) {
		if ours[i] > 0 && theirs[i] > 0 {
			out = append(out, ours[i]/theirs[i])
		}
	}
	return out
}

// report prints the medians, how many times theirs ours is, and whether that is what it is
// to be. Where it is not, it prints what the gateway does in that time, and the other's.
func report(b *testing.B, ways []*way) {
	b.Helper()
	named := func(name string) *way {
		if i := slices.IndexFunc(ways, func(w *way) bool { return w.name == name }); i >= 0 {
			return ways[i]
		}
		return nil // not wanted
	}
	mine := named(panterasWay)
	var figures []string
	for _, m := range measures {
		figures = append(figures, m.name)
	}
	figures = append(figures, latency, processor)
	var text, spread strings.Builder
	fmt.Fprintf(&text, "\nmedians of %d rounds, Mbit/s; in brackets the median of ours divided by theirs\n%-18s", *tunnelRounds, "")
	for _, f := range figures {
		fmt.Fprintf(&text, "%18s", f)
	}
	for _, w := range ways {
		fmt.Fprintf(&text, "\n%-18s", w.name)
		for _, f := range figures {
			m := lab.Median(w.figures[f])
			if m == 0 {
				fmt.Fprintf(&text, "%18s", "-")
				continue
			}
			fmt.Fprintf(&text, "%10.5g %7s", m, fmt.Sprintf("(%.2f)", lab.Median(ratios(mine.figures[f], w.figures[f]))))
			fmt.Fprintf(&spread, "\n%s, %s: %.5g to %.5g", w.name, f, slices.Min(w.figures[f]), slices.Max(w.figures[f]))
		}
	}
	fmt.Fprintf(&text, "\nload average %s\ngoals:", loadAverage(b))
	missed := map[string]bool{}
	for _, g := range goals {
		if named(g.way) == nil {
			continue
		}
		fmt.Fprintf(&text, "\n%.4g times %s:", g.times, g.way)
		for _, m := range measures {
			got, verdict := lab.Median(ratios(mine.figures[m.name], named(g.way).figures[m.name])), "met"
			if got < g.times {
				verdict, missed[g.way] = "MISSED", true
			}
			fmt.Fprintf(&text, " %s %.2f %s;", m.name, got, verdict)
		}
	}
	fmt.Fprintf(&text, "\nfrom the least to the most of the rounds:%s\n", spread.String())
	if len(missed) > 0 {
		for _, w := range []*way{mine, named(wireguardGo)} {
			if w == nil {
				continue
			}
			fmt.Fprintf(&text, "\nwhat the gateway of %s does while data goes down:\n%s", w.name, w.profile(b))
		}
	}
	fmt.Println(text.String()) // what a benchmark logs is cut after ten lines
	b.ReportMetric(lab.Median(mine.figures["up"]), "Mbit/s-up")
	b.ReportMetric(lab.Median(mine.figures["down"]), "Mbit/s-down")
}

// profile tells where the gateway's processes spend their time under load.
func (w *way) profile(b *testing.B) string {
	b.Helper()
	perf, err := exec.LookPath("perf")
	if err != nil {
		return "there is no perf (Debian: linux-perf)"
	}
	var pids []string
	for _, pid := range processesOf(b, w.lab.gateway) {
		pids = append(pids, strconv.Itoa(pid))
	}
	file := filepath.Join(b.TempDir(), "perf.data")
	record := exec.CommandContext(b.Context(), perf, "record", "-q", "-F", "499", "-p", strings.Join(pids, ","), "-o", file, "--", "sleep", "3")
	var said strings.Builder
	record.Stdout, record.Stderr = &said, &said
	if err := record.Start(); err != nil {
		return err.Error()
	}
	_, _ = w.lab.client.try(b, nil, "iperf3", "-c", serviceAddr, "-t", "5", "-R")
	if err := record.Wait(); err != nil {
		return fmt.Sprintf("perf record: %v\n%s", err, said.String())
	}
	out, err := exec.CommandContext(b.Context(), perf, "report", "-i", file, "--stdio", "--sort", "symbol", "--percent-limit", "1").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("perf report: %v\n%s", err, out)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[:min(len(lines), 25)], "")
}
