package test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"panteras/internal/lab"
	"panteras/launcher"
)

// benchDaemons are what both start.
var benchDaemons = []string{"consul", "zookeeper", "consul-template", "haproxy", "dns"}

// BenchmarkUp measures from exec until everything is ready, the memory of what watches
// the daemons and of each daemon, and how long the DNS server and HAProxy are away when
// they are killed: beside supervisord of Debian, which starts the same programs.
func BenchmarkUp(b *testing.B) {
	for _, one := range []struct {
		name  string
		start func(testing.TB, *upHost) *lab.Process
	}{
		{"panteras", func(t testing.TB, h *upHost) *lab.Process { h.up(t); return h.Process }},
		{"supervisord", startSupervisord},
	} {
		b.Run(one.name, func(b *testing.B) {
			var ready time.Duration
			away := map[string]time.Duration{}
			memory := map[string]int{}
			for b.Loop() {
				h := oneHost(b, only(benchDaemons...)...)
				upstream := lab.NewUpstream(b, func(*lab.Query) []lab.Action { return answerWith("192.0.2.7") })
				h.env = append(h.env, "DNS_UPSTREAMS="+upstream.Addr.String())
				plan := h.plan(b)
				began := time.Now()
				p := one.start(b, h)
				allServing(b, plan, benchDaemons...)
				ready += time.Since(began)
				for who, n := range memoryOf(b, p.Pid(), plan) {
					memory[who] += n
				}
				for _, name := range []string{"dns", "haproxy"} {
					killed := time.Now()
					if err := syscall.Kill(mainProcess(b, p.Pid(), plan[name]), syscall.SIGKILL); err != nil {
						b.Fatal(err)
					}
					if name == "haproxy" { // its worker ends when its master has
						lab.Eventually(b, patience, "HAProxy to be away", func() bool { return !isServing(plan[name]) })
					}
					allServing(b, plan, name)
					away[name] += time.Since(killed)
				}
				p.Stop(b)
			}
			b.ReportMetric(float64(ready.Milliseconds())/float64(b.N), "ms-until-ready")
			for who, sum := range memory {
				b.ReportMetric(float64(sum)/float64(b.N), "KiB-"+who)
			}
			for name, sum := range away {
				b.ReportMetric(float64(sum.Milliseconds())/float64(b.N), "ms-without-"+name)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// plannedDaemon is a daemon of `panteras plan --json`.
type plannedDaemon struct {
	Name  string
	Run   bool
	Argv  []string
	Env   map[string]string
	Files []launcher.File
	Probe launcher.Probe
	Stop  launcher.Stop
}

func (h *upHost) plan(t testing.TB) map[string]plannedDaemon {
	t.Helper()
	var plan struct{ Daemons []plannedDaemon }
	output := h.must(t, "plan", "--json")
	if err := json.Unmarshal([]byte(output[:strings.LastIndex(output, "}")+1]), &plan); err != nil {
		t.Fatalf("%v in %s", err, output)
	}
	all := map[string]plannedDaemon{}
	for _, d := range plan.Daemons {
		if d.Run {
			all[d.Name] = d
		}
	}
	return all
}

// isServing asks a daemon as its clients would.
func isServing(d plannedDaemon) bool {
	switch d.Probe.Kind {
	case launcher.ProbeHTTP:
		return strings.Contains(httpGet("127.0.0.1:8500", "/v1/status/leader"), ":8300")
	case launcher.ProbeNotify:
		if d.Name != "dns" {
			return true // nobody asks consul-template
		}
		_, err := lab.Ask(dnsAt("10.7.0.1"), "udp", "www.example.org", 1)
		return err == nil
	case launcher.ProbeZooKeeper:
		return zooKeeperMode("127.0.0.1:2181") != ""
	}
	conn, err := net.DialTimeout("tcp", d.Probe.Address, patience)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// allServing waits until daemons do.
func allServing(t testing.TB, plan map[string]plannedDaemon, names ...string) {
	t.Helper()
	for _, name := range names {
		lab.Eventually(t, readyTime, name+" to serve", func() bool { return isServing(plan[name]) })
	}
}

// mainProcess finds the process of a daemon below that which watches it.
func mainProcess(t testing.TB, watcher int, d plannedDaemon) int {
	t.Helper()
	found := 0
	lab.Eventually(t, patience, d.Name+" to run", func() bool {
		for _, p := range inNetwork(networkOf(t)) {
			pid, args, _ := strings.Cut(p, " ")
			if strings.HasSuffix(args, strings.Join(d.Argv[1:], " ")+" ") && strings.Contains(args, filepath.Base(d.Argv[0])) {
				// HAProxy's worker has the same arguments, and its master for a parent.
				if _, parent := stat(pid); !strings.Contains(argsOf(parent), filepath.Base(d.Argv[0])+" -W") {
					found, _ = strconv.Atoi(pid)
				}
			}
		}
		return found != 0 && found != watcher
	})
	return found
}

func argsOf(pid string) string {
	text, _ := os.ReadFile("/proc/" + pid + "/cmdline")
	return strings.ReplaceAll(string(text), "\x00", " ")
}

// memoryOf is the memory in KiB of each daemon, with its workers, and, as "watching", of all
// that is no daemon. It is the proportional set size: what processes share, such as the text
// of one program that runs several times, counts once.
func memoryOf(t testing.TB, watcher int, plan map[string]plannedDaemon) map[string]int {
	t.Helper()
	of := map[string]int{}
	mains := map[string]string{}
	for name, d := range plan {
		mains[strconv.Itoa(mainProcess(t, watcher, d))] = name
	}
	for _, p := range inNetwork(networkOf(t)) {
		id, _, _ := strings.Cut(p, " ")
		who := "watching"
		for up := id; up != "" && up != strconv.Itoa(watcher); _, up = stat(up) {
			if name, ok := mains[up]; ok {
				who = name
				break
			}
		}
		text, _ := os.ReadFile("/proc/" + id + "/smaps_rollup")
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, "Pss:"); ok {
				n, err := strconv.Atoi(strings.Fields(value)[0])
				if err != nil {
					t.Fatal(err)
				}
				of[who] += n
			}
		}
	}
	for _, who := range append([]string{"watching"}, benchDaemons...) {
		if of[who] == 0 {
			t.Fatalf("nothing is known of the memory of %s: %v", who, of)
		}
	}
	return of
}

// startSupervisord makes supervisord start what a plan says.
func startSupervisord(t testing.TB, h *upHost) *lab.Process {
	t.Helper()
	path, err := exec.LookPath("supervisord")
	if err != nil {
		t.Fatal("supervisord is not installed: run `make deps` first")
	}
	var config strings.Builder
	fmt.Fprintf(&config, "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=%s\n", h.path("supervisord.pid"))
	for name, d := range h.plan(t) {
		dirs := []string{h.path("run", name), h.path("state", name)}
		for _, f := range d.Files {
			dirs = append(dirs, filepath.Dir(f.Path))
		}
		for _, dir := range slices.Compact(dirs) {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range d.Files {
			put(t, f.Path, f.Content)
		}
		var words, env []string
		for _, word := range d.Argv {
			words = append(words, `'`+strings.ReplaceAll(word, "%", "%%")+`'`)
		}
		for key, value := range d.Env {
			env = append(env, key+`="`+strings.ReplaceAll(value, "%", "%%")+`"`)
		}
		fmt.Fprintf(&config, "[program:%s]\ncommand=%s\nenvironment=%s\nautorestart=true\nredirect_stderr=true\nstdout_logfile=%s\n", name, strings.Join(words, " "), strings.Join(env, ","), h.path(name+".log"))
	}
	put(t, h.path("supervisord.conf"), config.String())
	cmd := exec.Command(path, "-c", h.path("supervisord.conf"))
	cmd.Env, cmd.Dir = []string{"PATH=" + h.bin + ":/usr/sbin:/usr/bin:/sbin:/bin"}, "/"
	return lab.Start(t, cmd)
}
