package dnsbench

import (
	"embed"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

//go:embed peers
var templates embed.FS

// place is what a configuration is filled with.
type place struct {
	Listen, Consul, Recursor netip.AddrPort
	Dir                      string
	Threads                  int
	Sockets                  int  // of dnsdist towards a server
	Secure                   bool // dnsdist with random ids and sockets
}

// kind is a server that is measured.
type kind struct {
	name string
	argv func(t testing.TB, p place) []string
	env  []string
}

// ours is the name of what the others are compared with.
const ours = "panteras"

// direct is the name of the way without a forwarder.
const direct = "direct"

// kinds are the servers, ours first.
var kinds = []kind{
	{name: ours, argv: func(t testing.TB, p place) []string {
		return []string{
			lab.Built(t, "panteras"), "dns", "--metrics-listen=off", "--dns-listen=" + p.Listen.String(),
			"--consul-dns=" + p.Consul.String(), "--dns-upstreams=" + p.Recursor.String(),
		}
	}, env: []string{"HOSTNAME=bench", "IP=192.0.2.1", "LOG_LEVEL=warn"}},
	{name: "dnsdist", argv: dnsdist(false)},
	{name: secureName(), argv: dnsdist(true)},
	{name: "dnsmasq", argv: func(t testing.TB, p place) []string {
		return []string{"dnsmasq", "--keep-in-foreground", "--log-facility=-", "--conf-file=" + fill(t, p, "dnsmasq.conf")}
	}},
	{name: "unbound", argv: func(t testing.TB, p place) []string {
		return []string{"unbound", "-d", "-c", fill(t, p, "unbound.conf")}
	}},
	{name: "coredns", argv: func(t testing.TB, p place) []string {
		return []string{filepath.Join(lab.Root(t), "bin", "coredns"), "-quiet", "-conf", fill(t, p, "Corefile")}
	}},
}

func dnsdist(secure bool) func(testing.TB, place) []string {
	return func(t testing.TB, p place) []string {
		program := installed
		p.Secure, p.Sockets = secure, 1
		if secure {
			p.Sockets = localSockets
			program = secureProgram()
		}
		return []string{program, "--supervised", "--disable-syslog", "-C", fill(t, p, "dnsdist.conf")}
	}
}

// equalSecurity is the name of dnsdist where it draws ids and sockets at random, as all others here do.
const equalSecurity = "dnsdist random"

// installed is the distribution's dnsdist, and newer the one of Debian 13 that lies beside the other tools.
const (
	installed = "dnsdist"
	newer     = "../../bin/dnsdist-1.9/dnsdist"
)

// secureProgram is a dnsdist that can draw at random, if there is one: releases before 1.8, such as Debian 12's, cannot.
func secureProgram() string {
	for _, program := range []string{installed, newer} {
		if drawsAtRandom(program) {
			if path, err := filepath.Abs(program); err == nil && program == newer {
				return path
			}
			return program
		}
	}
	return installed
}

func drawsAtRandom(program string) bool {
	out, _ := exec.Command(program, "--version").Output()
	m := regexp.MustCompile(`dnsdist (\d+)\.(\d+)`).FindSubmatch(out)
	if m == nil {
		return false
	}
	major, _ := strconv.Atoi(string(m[1]))
	minor, _ := strconv.Atoi(string(m[2]))
	return major > 1 || minor >= 8
}

// secureName tells what the second dnsdist is: one that cannot must not be taken for what it is not.
func secureName() string {
	if drawsAtRandom(secureProgram()) {
		return equalSecurity
	}
	return "dnsdist sockets"
}

// localSockets is how many sockets towards a server of the same host we draw from, in each of our event loops;
// dnsdist is given as many for the comparison with equal security.
const localSockets = 4

// fill writes a configuration and returns its path.
func fill(t testing.TB, p place, name string) string {
	t.Helper()
	path := filepath.Join(p.Dir, name)
	file, err := os.Create(path)
	if err == nil {
		err = template.Must(template.ParseFS(templates, "peers/"+name)).Execute(file, p)
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// server is a running one. Without a process it is an upstream, asked directly.
type server struct {
	name    string
	addr    netip.AddrPort
	process *lab.Process
	started time.Duration // from exec to the first answer
}

// free returns an address of this host.
func free(t testing.TB) netip.AddrPort {
	t.Helper()
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), lab.Port(t))
}

// start runs a server in front of two upstreams and waits for its first answer.
func (k *kind) start(t testing.TB, consul, recursor netip.AddrPort) *server {
	t.Helper()
	p := place{Listen: free(t), Consul: consul, Recursor: recursor, Dir: t.TempDir(), Threads: runtime.GOMAXPROCS(0)}
	argv := k.argv(t, p)
	cmd := command(t, argv, p.Dir)
	cmd.Env = append(cmd.Env, k.env...)
	s := &server{name: k.name, addr: p.Listen}
	began := time.Now()
	s.process = lab.Start(t, cmd)
	firstAnswer(t, s)
	s.started = time.Since(began)
	return s
}

// command finds a program where Debian puts servers, too.
func command(t testing.TB, argv []string, dir string) *exec.Cmd {
	t.Helper()
	path := argv[0]
	for _, folder := range []string{"/usr/sbin", "/usr/bin", "/sbin"} {
		if _, err := os.Stat(filepath.Join(folder, path)); err == nil && !strings.Contains(path, "/") {
			path = filepath.Join(folder, path)
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; run: make bench-dns, which installs and builds what is needed", err)
	}
	return &exec.Cmd{Path: path, Args: argv, Dir: dir, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}
}

// firstAnswer asks without pause until there is an answer with an address.
func firstAnswer(t testing.TB, s *server) {
	t.Helper()
	query := new(dns.Msg).SetQuestion("consul.service.consul.", dns.TypeA)
	client := &dns.Client{Timeout: 20 * time.Millisecond}
	end := time.Now().Add(30 * time.Second)
	for {
		reply, _, err := client.Exchange(query, s.addr.String())
		if err == nil && len(reply.Answer) > 0 {
			return
		}
		select {
		case <-s.process.Done():
			t.Fatalf("%s ended: %s%s", s.name, s.process.Stdout(), s.process.Stderr())
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not answer: %v %s%s", s.name, err, s.process.Stdout(), s.process.Stderr())
		}
	}
}

// nsd runs the authoritative server that stands for Consul and for the recursors.
func nsd(t testing.TB) *server {
	t.Helper()
	p := place{Listen: free(t), Dir: t.TempDir(), Threads: 1}
	zones(t, p.Dir)
	s := &server{name: direct, addr: p.Listen}
	s.process = lab.Start(t, command(t, []string{"nsd", "-d", "-c", fill(t, p, "nsd.conf")}, p.Dir))
	firstAnswer(t, s)
	return s
}
