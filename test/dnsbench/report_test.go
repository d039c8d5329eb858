package dnsbench

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"panteras/internal/lab"
)

// report holds all figures: works in order, servers in order, a value for each round.
type report struct {
	works   []string
	servers []string
	runs    map[string]map[string][]figures
	startup map[string][]float64 // milliseconds from exec to the first answer
}

func newReport() *report {
	r := &report{}
	r.clear()
	return r
}

func (r *report) clear() {
	*r = report{runs: map[string]map[string][]figures{}, startup: map[string][]float64{}}
}

func (r *report) note(work, server string, f figures) {
	if r.runs[work] == nil {
		r.runs[work] = map[string][]figures{}
		r.works = append(r.works, work)
	}
	if !slices.Contains(r.servers, server) {
		r.servers = append(r.servers, server)
	}
	r.runs[work][server] = append(r.runs[work][server], f)
}

// starts measures how long each server takes to its first answer.
func (r *report) starts(b *testing.B, upstream *server) {
	b.Helper()
	for range *rounds {
		for i := range kinds {
			if k := &kinds[i]; wanted(*peers, k.name) || k.name == ours {
				s := k.start(b, upstream.addr, upstream.addr)
				s.process.Kill()
				r.startup[k.name] = append(r.startup[k.name], float64(s.started.Microseconds())/1000)
			}
		}
	}
}

// pick returns one figure of all rounds.
func (r *report) pick(work, server string, get func(figures) float64) (values []float64) {
	for _, f := range r.runs[work][server] {
		values = append(values, get(f))
	}
	return values
}

// ratios divides what ours has in each round by what another one has in the same round.
func (r *report) ratios(work, server string, get func(figures) float64) (values []float64) {
	mine, theirs := r.pick(work, ours, get), r.pick(work, server, get)
	for i := range min(len(mine), len(theirs)) {
		if theirs[i] > 0 {
			values = append(values, mine[i]/theirs[i])
		}
	}
	return values
}

func qps(f figures) float64    { return f.QPS }
func cpu(f figures) float64    { return f.CPU }
func mean(f figures) float64   { return f.Mean }
func p50(f figures) float64    { return f.P50 }
func p99(f figures) float64    { return f.P99 }
func p999(f figures) float64   { return f.P999 }
func lost(f figures) float64   { return f.Lost }
func memory(f figures) float64 { return f.Memory }

// print shows the tables and writes the same to a file.
func (r *report) print(b *testing.B) {
	b.Helper()
	var text strings.Builder
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(&text, "\n%d processors, load %s; medians of %d rounds of %d s; in brackets the least and the most.\n",
		runtime.NumCPU(), strings.TrimSpace(string(load)), *rounds, *seconds)
	text.WriteString("\"ours/theirs\" is the median of the ratios of each round. Times in microseconds, memory in MB.\n")
	for _, w := range r.works {
		fmt.Fprintf(&text, "\n%s\n%-16s%10s %-19s%12s%9s%12s%9s%9s%9s%9s%7s%8s\n", w, "", "queries/s", "", "ours/theirs", "CPU", "ours/theirs", "mean", "p50", "p99", "p99.9", "lost", "memory")
		for _, s := range r.servers {
			v := r.pick(w, s, qps)
			if len(v) == 0 {
				continue
			}
			fmt.Fprintf(&text, "%-16s%10.0f %-19s%12.2f%9.1f%12.2f%9.0f%9.0f%9.0f%9.0f%7.0f%8.1f\n", s, lab.Median(v),
				fmt.Sprintf("(%.0f-%.0f)", slices.Min(v), slices.Max(v)), lab.Median(r.ratios(w, s, qps)),
				lab.Median(r.pick(w, s, cpu)), lab.Median(r.ratios(w, s, cpu)), lab.Median(r.pick(w, s, mean)), lab.Median(r.pick(w, s, p50)),
				lab.Median(r.pick(w, s, p99)), lab.Median(r.pick(w, s, p999)), lab.Median(r.pick(w, s, lost)), slices.Max(r.pick(w, s, memory)))
		}
	}
	text.WriteString("\nfrom exec to the first answer, ms\n")
	for _, k := range kinds {
		if v := r.startup[k.name]; len(v) > 0 {
			fmt.Fprintf(&text, "%-16s%10.1f (%.1f-%.1f)\n", k.name, lab.Median(v), slices.Min(v), slices.Max(v))
		}
	}
	text.WriteString("\ngoals\n")
	goals := r.goals()
	for _, g := range goals {
		fmt.Fprintf(&text, "%-8s%-64s%10.2f, wanted %s\n", map[bool]string{true: "reached", false: "MISSED"}[g.Reached], g.Name, g.Value, g.Wanted)
	}
	fmt.Println(text.String())
	r.save(b, goals)
}

// goal is one promise of how fast it is.
type goal struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Wanted  string  `json:"wanted"`
	Reached bool    `json:"reached"`
}

func (r *report) goals() (all []goal) {
	add := func(name string, values []float64, least bool, bound float64) {
		if len(values) == 0 {
			return
		}
		g := goal{Name: name, Value: lab.Median(values), Wanted: fmt.Sprintf("<= %g", bound)}
		g.Reached = g.Value <= bound
		if least {
			g.Wanted, g.Reached = fmt.Sprintf(">= %g", bound), g.Value >= bound
		}
		all = append(all, g)
	}
	const (
		distinct = "nsd, UDP, distinct names"
		real     = "Consul, UDP, "
	)
	add("distinct names, queries/s over dnsdist with random ids", r.ratios(distinct, equalSecurity, qps), true, 1.1)
	add("distinct names, queries/s over dnsdist", r.ratios(distinct, "dnsdist", qps), true, 1)
	add("distinct names, queries/s over dnsmasq", r.ratios(distinct, "dnsmasq", qps), true, 2.5)
	add("distinct names, CPU per query over dnsdist with random ids", r.ratios(distinct, equalSecurity, cpu), false, 1)
	add("one hot name, queries/s over unbound", r.ratios("nsd, UDP, one hot name", "unbound", qps), true, 1)
	add("Consul, one hot name, queries/s over asking it directly", r.ratios(real+"one hot name", direct, qps), true, 7)
	add("Consul, distinct names, queries/s over asking it directly", r.ratios(real+"distinct names", direct, qps), true, 0.95)
	if peaks := r.pick("nsd, UDP, 50,000 queries/s", ours, memory); len(peaks) > 0 { // a peak is the worst of all rounds
		add("peak memory at 50,000 queries/s, MB", []float64{slices.Max(peaks)}, false, 25)
	}
	addedTo := func(work string) (added []float64) {
		mine, theirs := r.pick(work, ours, p99), r.pick(work, direct, p99)
		for i, f := range r.runs[work][direct] {
			if f.QPS > 0.98*5000 { // else the upstream itself is overrun, and the difference says nothing
				added = append(added, mine[i]-theirs[i])
			}
		}
		return added
	}
	add("added to nsd's p99 at 5,000 queries/s, µs", addedTo("nsd, UDP, 5,000 queries/s"), false, 100)
	add("added to Consul's p99 at 5,000 queries/s, µs", addedTo(real+"5,000 queries/s"), false, 100)
	add("from exec to the first answer, ms", r.startup[ours], false, 50)
	return all
}

// save writes every figure of every round, and the ratios, for programs.
func (r *report) save(b *testing.B, goals []goal) {
	b.Helper()
	path := *results
	if path == "" {
		path = filepath.Join(lab.Root(b), "var", "bench-dns.json")
	}
	type entry struct {
		Work   string    `json:"work"`
		Server string    `json:"server"`
		Runs   []figures `json:"runs"`
		Speed  float64   `json:"ours_over_theirs_qps"`
		CPU    float64   `json:"ours_over_theirs_cpu"`
	}
	entries := []entry{}
	for _, w := range r.works {
		for _, s := range r.servers {
			if runs := r.runs[w][s]; len(runs) > 0 {
				entries = append(entries, entry{w, s, runs, lab.Median(r.ratios(w, s, qps)), lab.Median(r.ratios(w, s, cpu))})
			}
		}
	}
	text, err := json.MarshalIndent(map[string]any{
		"at": time.Now().UTC().Format(time.RFC3339), "processors": runtime.NumCPU(), "rounds": *rounds, "seconds": *seconds,
		"works": entries, "first_answer_ms": r.startup, "goals": goals,
	}, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		b.Fatal(err)
	}
	fmt.Println("every figure is in", path)
}
