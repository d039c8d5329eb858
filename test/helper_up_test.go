package test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"panteras/internal/lab"
	"panteras/launcher"
	"panteras/launcher/control"
)

// readyTime is how long a host's daemons may take until they are ready, and to stop:
// Java and Consul on a machine that does much else.
const readyTime = 90 * time.Second

// upHost is a host on which `panteras up` runs or ran, in namespaces of its own.
type upHost struct {
	*lab.Process
	dir    string // holds everything; anybody may walk to what is in it
	bin    string // panteras and the programs of daemons
	env    []string
	before []string // what starts panteras, if anything does
	client *control.Client
}

// newHost prepares a host: its folders, the programs beside its own panteras, and its
// environment. The test must have entered a network namespace; IP is an address in it.
func newHost(t testing.TB, ip string, env ...string) *upHost {
	t.Helper()
	dir, err := os.MkdirTemp("", "up-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for up := dir; up != "/tmp" && up != "/"; up = filepath.Dir(up) { // the DNS server runs as nobody
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h := &upHost{dir: dir, bin: filepath.Join(dir, "bin")}
	for _, sub := range []string{"bin", "restricted"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.env = append([]string{
		"IP=" + ip, "HOSTNAME=node-1", "STATE_DIR=" + h.path("state"), "RUN_DIR=" + h.path("run"), "LOG_DIR=" + h.path("log"),
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DNS_UPSTREAMS=127.0.0.1:9", "ZOOKEEPER_HOSTS=" + ip + ":2181",
		"ZOOKEEPER_JAVA_OPTS=-Xmx64m -XX:TieredStopAtLevel=1", "CONSUL_PARAMS=-hcl='performance{raft_multiplier=1}' -log-level=warn",
	}, env...)
	h.client = control.NewClient(h.path("run"))
	h.install(t, "panteras", panterasPath(t))
	for _, name := range []string{"consul", "consul-template"} {
		h.install(t, name, filepath.Join(lab.Root(t), "bin", name))
	}
	for _, name := range standIns {
		h.installStandIn(t, name)
	}
	return h
}

func (h *upHost) path(elements ...string) string {
	return filepath.Join(append([]string{h.dir}, elements...)...)
}

// up starts `panteras up`. At the end of the test it is stopped if it still runs, and
// nothing may be left of it.
func (h *upHost) up(t testing.TB, flags ...string) {
	t.Helper()
	h.Process = lab.Start(t, h.command(flags...))
	network, p := networkOf(t), h.Process
	t.Cleanup(func() {
		p.Signal(syscall.SIGTERM)
		deadline := time.NewTimer(readyTime)
		defer deadline.Stop()
		select {
		case <-p.Done():
		case <-deadline.C:
			t.Errorf("panteras up did not stop within %v", readyTime)
		}
		p.Kill()
		lab.Eventually(t, patience, "that no process is left", func() bool { return len(inNetwork(network)) == 0 })
	})
}

// command is how `panteras up` is started.
func (h *upHost) command(flags ...string) *exec.Cmd {
	args := append(slices.Clone(h.before), filepath.Join(h.bin, "panteras"), "up", "--restricted", h.path("restricted"))
	args = append(args, flags...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Dir = h.env, "/"
	return cmd
}

// run runs another command of panteras for the host, and returns its output and exit
// code.
func (h *upHost) run(t testing.TB, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(h.bin, "panteras"), args...)
	cmd.Env, cmd.Dir = h.env, "/"
	p := lab.Start(t, cmd)
	code = p.Wait(t, readyTime)
	return p.Stdout() + p.Stderr(), code
}

// must runs a command that must succeed.
func (h *upHost) must(t testing.TB, args ...string) string {
	t.Helper()
	output, code := h.run(t, args...)
	if code != 0 {
		t.Fatalf("panteras %q: exit code %d: %s", args, code, output)
	}
	return output
}

// status is what the launcher says of its daemons; nothing while it does not answer.
func (h *upHost) status() map[string]launcher.DaemonStatus {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all := map[string]launcher.DaemonStatus{}
	st, err := h.client.Status(ctx)
	if err != nil {
		return all
	}
	for _, d := range st.Daemons {
		all[d.Name] = d
	}
	return all
}

// is waits until a daemon's status is as wanted, and returns it.
func (h *upHost) is(t testing.TB, name, what string, wanted func(launcher.DaemonStatus) bool) launcher.DaemonStatus {
	t.Helper()
	var last launcher.DaemonStatus
	deadline := time.Now().Add(readyTime)
	lab.Eventually(t, readyTime+patience, name+" "+what, func() bool {
		st, ok := h.status()[name]
		if ok {
			last = st
		}
		if ok && wanted(st) {
			return true
		}
		if time.Now().After(deadline) || h.ended() {
			t.Fatalf("%s is never %s: %+v", name, what, last)
		}
		return false
	})
	return last
}

func (h *upHost) ended() bool {
	select {
	case <-h.Done():
		return true
	default:
		return false
	}
}

// ready waits until daemons are ready.
func (h *upHost) ready(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		h.state(t, name, launcher.StateReady)
	}
}

// state waits until a daemon is in a state.
func (h *upHost) state(t testing.TB, name string, state launcher.State) launcher.DaemonStatus {
	t.Helper()
	return h.is(t, name, string(state), func(d launcher.DaemonStatus) bool { return d.State == state })
}

// pids are the processes of the daemons that run.
func (h *upHost) pids() map[string]int {
	pids := map[string]int{}
	for name, d := range h.status() {
		if d.Pid > 0 {
			pids[name] = d.Pid
		}
	}
	return pids
}

// inNetwork lists the processes in a network namespace, as "pid arguments". Zombies are
// in none.
func inNetwork(network string) []string {
	var list []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, _ := strconv.Atoi(filepath.Base(dir)); pid == os.Getpid() {
			continue
		}
		ns, err := os.Readlink(dir + "/ns/net")
		if err == nil && ns == network {
			name, _ := os.ReadFile(dir + "/cmdline")
			list = append(list, filepath.Base(dir)+" "+strings.ReplaceAll(string(name), "\x00", " "))
		}
	}
	return list
}

// networkOf names the network namespace that the test is in.
func networkOf(t testing.TB) string {
	t.Helper()
	network, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return network
}

// withDocker gives the test and what it starts a /run of its own, in which a socket
// stands for Docker's.
func withDocker(t testing.TB) {
	t.Helper()
	ownMounts(t)
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", launcher.DockerSocket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
}

// ownMounts keeps what the test mounts from everybody else.
func ownMounts(t testing.TB) {
	t.Helper()
	enter(t, unix.CLONE_NEWNS, "a mount namespace")
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
}

// oneHost enters namespaces with an address, and prepares a host there.
func oneHost(t testing.TB, env ...string) *upHost {
	t.Helper()
	ownNetwork(t)
	addAddress(t, "net0", "10.7.0.1/24")
	return newHost(t, "10.7.0.1", env...)
}

// only makes a host run nothing but the daemons named, among those of a test.
func only(names ...string) []string {
	var env []string
	for setting, name := range map[string]string{
		"START_CONSUL": "consul", "START_ZOOKEEPER": "zookeeper", "START_MESOS_MASTER": "mesos-master", "START_MARATHON": "marathon",
		"START_CHRONOS": "chronos", "START_CONSUL_TEMPLATE": "consul-template", "START_MESOS_SLAVE": "mesos-agent",
		"START_REGISTRATOR": "registrator", "START_DNS": "dns",
	} {
		env = append(env, setting+"="+strconv.FormatBool(slices.Contains(names, name)))
	}
	return env
}

// dnsAt is the DNS server of a host.
func dnsAt(ip string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(ip), 53) }

// httpGet asks over a connection that this goroutine makes, in the namespace of the
// test, and returns the body, or what went wrong.
func httpGet(addr, path string) string { return httpDo(http.MethodGet, addr, path, "") }

// httpDo is httpGet with a choice of method, and a body.
func httpDo(method, addr, path, body string) string {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	request, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	request.Close = true
	if err := request.Write(conn); err != nil {
		return err.Error()
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return string(answer)
}
