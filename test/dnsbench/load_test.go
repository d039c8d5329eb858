package dnsbench

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"panteras/internal/lab"
)

// work is one thing that every server is asked to do.
type work struct {
	name string
	file string   // of questions
	args []string // of dnsperf
	rate int      // queries a second; 0 for as many as it takes
}

// Loads of dnsperf: clients (sockets) and queries in flight.
var (
	overUDP   = []string{"-c", "32", "-q", "256"}
	pipelined = []string{"-m", "tcp", "-c", "16", "-q", "256"}
	oneByOne  = []string{"-m", "tcp", "-c", "32", "-q", "32", "-O", "num-queries-per-conn=1"}
)

// runs counts the runs of dnsperf. Each comes from an address of its own: a closed connection keeps its port
// for a minute, and connections for one query each use up all 28,000 of an address within seconds.
var runs int

// figures are what one run has shown.
type figures struct {
	QPS    float64 `json:"qps"`
	CPU    float64 `json:"cpu_us_per_query"`
	Mean   float64 `json:"mean_us"`
	P50    float64 `json:"p50_us"`
	P99    float64 `json:"p99_us"`
	P999   float64 `json:"p999_us"`
	Lost   float64 `json:"lost"`
	Memory float64 `json:"peak_mb"`
}

var (
	perSecond = regexp.MustCompile(`Queries per second:\s+([\d.]+)`)
	completed = regexp.MustCompile(`Queries completed:\s+(\d+)`)
	lostOnes  = regexp.MustCompile(`Queries lost:\s+(\d+)`)
	average   = regexp.MustCompile(`Average Latency \(s\):\s+([\d.]+)`)
)

// measure runs a work once. Percentiles need dnsperf to print every answer, which costs it speed, so where
// speed is the question they come from a short second run.
func (s *server) measure(t testing.TB, w *work, seconds int) figures {
	t.Helper()
	s.resetPeak()
	before := s.cpu()
	var f figures
	if w.rate > 0 {
		out := s.dnsperf(t, w, seconds, "-v", "-Q", strconv.Itoa(w.rate))
		f = summary(out)
		f.percentiles(out)
		f.CPU = s.cpu() - before
	} else {
		f = summary(s.dnsperf(t, w, seconds))
		f.CPU = s.cpu() - before
		f.percentiles(s.dnsperf(t, w, 1, "-v"))
	}
	if done := f.QPS * float64(seconds); done > 0 {
		f.CPU *= 1e6 / done
	}
	f.Memory = s.peak()
	return f
}

func (s *server) dnsperf(t testing.TB, w *work, seconds int, more ...string) []byte {
	t.Helper()
	runs++
	args := slices.Concat([]string{
		"-a", fmt.Sprintf("127.1.%d.%d", runs/250%250, 1+runs%250), "-s", s.addr.Addr().String(), "-p", strconv.Itoa(int(s.addr.Port())),
		"-d", w.file, "-l", strconv.Itoa(seconds), "-t", "2",
	}, w.args, more)
	out, err := exec.Command("dnsperf", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("dnsperf %s: %v\n%.2000s", strings.Join(args, " "), err, out)
	}
	return out
}

func summary(out []byte) figures {
	number := func(re *regexp.Regexp) float64 {
		if m := re.FindSubmatch(out); m != nil {
			v, _ := strconv.ParseFloat(string(m[1]), 64)
			return v
		}
		return 0
	}
	f := figures{QPS: number(perSecond), Mean: number(average) * 1e6, Lost: number(lostOnes)}
	if number(completed) == 0 {
		f.QPS = 0
	}
	return f
}

// percentiles reads the line of each answer: "> NOERROR name type seconds".
func (f *figures) percentiles(out []byte) {
	var all []float64
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		line := lines.Text()
		if !strings.HasPrefix(line, "> ") {
			continue
		}
		if v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64); err == nil {
			all = append(all, v*1e6)
		}
	}
	slices.Sort(all)
	at := func(q float64) float64 {
		if len(all) == 0 {
			return 0
		}
		return all[min(int(math.Ceil(q*float64(len(all))))-1, len(all)-1)]
	}
	f.P50, f.P99, f.P999 = at(0.5), at(0.99), at(0.999)
}

// cpu is the processor time of the server and of its children, in seconds.
func (s *server) cpu() (total float64) {
	for _, pid := range s.processes() {
		own, children, _ := lab.ProcessorTime(pid) // it may have ended
		total += own + children
	}
	return total
}

// parent is the parent of a process, "" once it has ended.
func parent(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // the name may hold anything
	if len(fields) < 2 {
		return ""
	}
	return fields[1]
}

// processes are the server's, and those that it forked.
func (s *server) processes() []int {
	all := []int{s.process.Pid()}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		if parent(pid) == strconv.Itoa(s.process.Pid()) {
			all = append(all, pid)
		}
	}
	return all
}

// resetPeak makes the kernel forget how much memory the server had.
func (s *server) resetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.process.Pid()), []byte("5"), 0)
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peak is the most memory that the server had, in megabytes.
func (s *server) peak() float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Pid()))
	m := highWater.FindSubmatch(text)
	if m == nil {
		return 0
	}
	kilobytes, _ := strconv.ParseFloat(string(m[1]), 64)
	return kilobytes / 1024
}
