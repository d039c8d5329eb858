package test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"panteras/internal/lab"
)

// The hosts on which pages' commands are typed, and their addresses:
//
//	laptop 198.51.100.2 - 198.51.100.1 host 10.7.0.1 - 10.7.0.2 another host
//
// They are the addresses in the pages.
const (
	typedIP       = "10.7.0.1"
	typedEndpoint = "198.51.100.1"
)

// onlyPage is for those who write a page and do not want to wait for the others.
var onlyPage = flag.String("page", "", "a page, such as docs/dns.md, of which alone the commands are typed")

// typedHosts makes the host, the laptop and the other host.
func typedHosts(t *testing.T) (host, laptop *typedHost, other *host) {
	t.Helper()
	h, l := bareHost(t), bareHost(t)
	other = bareHost(t)
	connect(t, l, "eth0", "198.51.100.2/24", h, "wan", typedEndpoint+"/24")
	connect(t, h, "eth0", typedIP+"/24", other, "eth0", "10.7.0.2/24")
	h.run(t, "ip", "route", "add", "default", "via", "10.7.0.2")
	h.recursor(t, "127.0.0.77:53", farAway)
	host, laptop = newTypedHost(t, h, typedIP), newTypedHost(t, l, "198.51.100.2")
	laptop.dir = host.dir // what the host's owner hands out, the laptop's owner has
	return host, laptop, other
}

// Pages that have tests of their own.
const (
	readme         = "README.md"
	operationsPage = "docs/operations.md"
	resolvedPage   = "docs/with-systemd-resolved.md"
	smoothPage     = "examples/smooth-webapp/README.md"
	balancerPage   = "docs/balancer.md" // typed where `make up` runs, in the folder of this module
)

// TestCommandsInPages types the commands of the pages as they are printed, on a host that
// runs `panteras up` and on a laptop. Pages leave the host as they found it.
func TestCommandsInPages(t *testing.T) {
	t.Parallel()
	host, laptop, other := typedHosts(t)
	host.do(t, func() { put(t, "/etc/resolv.conf", "nameserver 127.0.0.1\n") })
	host.start(t, append(only("consul", "consul-template", "dns"), "IP="+typedIP, "HOSTNAME=node-1", "HAPROXY_ADD_DOMAIN=.my.own.domain.com",
		"DNS_UPSTREAMS=127.0.0.77", "TUNNEL_ENDPOINT="+typedEndpoint, `CONSUL_PARAMS="`+quickConsul+`"`)...)
	host.ready(t, "consul", "consul-template", "haproxy", "dns", "tunnel")
	other.do(t, func() { webServer(t, "10.7.0.2:80", "python\n") })
	host.run(t, filepath.Join(host.bin, "consul"), "services", "register", "-name=python", "-id=python-1", "-address=10.7.0.2", "-port=80", "-tag=haproxy")
	lab.Eventually(t, readyTime, "the gateway to be known", func() bool {
		keys, err := host.try(t, nil, filepath.Join(host.bin, "consul"), "kv", "get", "-keys", "panteras/tunnel/gateways/")
		return err == nil && strings.Contains(keys, "node-1")
	})
	seenSources(t)
	endLogins := host.sshd(t, typedEndpoint, "node1.example.com", laptop)
	for _, p := range pages(t) {
		if p.name == readme || p.name == operationsPage || p.name == resolvedPage || p.name == smoothPage || p.name == balancerPage || *onlyPage != "" && p.name != *onlyPage {
			continue
		}
		began := time.Now()
		for _, b := range p.consoles() {
			shell := host.console(t, false)
			if b.info == "console on=laptop" {
				shell = laptop.console(t, false)
			}
			shell.follow(b.commands(t))
		}
		t.Logf("%s: %.1f s", p.name, time.Since(began).Seconds())
	}
	endLogins()
	lab.Eventually(t, readyTime, "nothing of the pages to be left in HAProxy", func() bool {
		output := host.run(t, filepath.Join(host.bin, "panteras"), "haproxy", "report")
		return !strings.Contains(output, "webapp") && !strings.Contains(output, "my_")
	})
	coreDNSOfPages(t, host)
	securityOfPages(t, host)
	metricsOfPages(t, host, laptop)
}

// seenSources looks at what commands will build or run, or a cached result would outlive a
// change of it.
func seenSources(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"examples/*/*", "tools/up.sh", "tools/dist.sh", "tools/dist/*", "Makefile"} {
		sources, err := filepath.Glob(filepath.Join(lab.Root(t), pattern))
		for i := 0; err == nil && i < len(sources); i++ {
			if info, _ := os.Stat(sources[i]); info == nil || !info.IsDir() {
				_, err = os.ReadFile(sources[i])
			}
		}
		if err != nil || len(sources) == 0 {
			t.Fatalf("cannot read %s: %v", pattern, err)
		}
	}
}

// metricsOfPages compares the metrics in the pages with those of a host that does something
// of everything.
func metricsOfPages(t *testing.T, host, laptop *typedHost) {
	t.Helper()
	host.console(t, false).follow([]printed{
		{command: "echo DNS_MODE=lb >> /etc/panteras/host && panteras reload"},
		{command: "panteras peer add metrics --output metrics.conf"},
	})
	laptop.console(t, false).follow([]printed{{command: "wg-quick up ./metrics.conf"}})
	documented, exported := documentedMetrics(t), map[string]bool{}
	missing := func() (list []string) {
		for _, name := range slices.Sorted(maps.Keys(documented)) {
			if !exported[name] {
				list = append(list, name+" in "+documented[name])
			}
		}
		return list
	}
	for deadline := time.Now().Add(patience); ; {
		clear(exported)
		laptop.try(t, nil, "dig", "@10.99.0.1", "+tries=1", "+time=1", "python.service.consul")
		for _, m := range regexp.MustCompile(`(?m)^# TYPE (panteras_\S+) `).FindAllStringSubmatch(metricsOf(t, host), -1) {
			exported[m[1]] = true
		}
		if len(missing()) == 0 || time.Now().After(deadline) {
			break
		}
	}
	if list := missing(); len(list) > 0 {
		t.Errorf("pages tell of metrics that a host does not have: %q", list)
	}
	for _, name := range slices.Sorted(maps.Keys(exported)) {
		if documented[name] == "" {
			t.Errorf("no page tells of the metric %s", name)
		}
	}
	laptop.console(t, false).follow([]printed{{command: "wg-quick down ./metrics.conf"}})
}

// metricsOf are all that a host's launcher has.
func metricsOf(t *testing.T, host *typedHost) (text string) {
	t.Helper()
	host.do(t, func() {
		token, err := os.ReadFile("/var/lib/panteras/token")
		if err != nil {
			t.Fatal(err)
		}
		text = curl(t, "-H", "Authorization: Bearer "+strings.TrimSpace(string(token)), "http://127.0.0.1:9000/metrics")
	})
	return text
}

// TestReadme types the commands of the README in a copy of this module, from `make up` to
// `make down`, and before that those of the pages for which `make up` has to run.
func TestReadme(t *testing.T) {
	t.Parallel()
	host, laptop, _ := typedHosts(t)
	seenSources(t)
	host.do(t, func() {
		put(t, "/etc/resolv.conf", "nameserver 127.0.0.77\n")
	})
	copyOfModule(t, host.host)
	// These take memory, or are not there.
	host.env = append(host.env, "HAPROXY_ADD_DOMAIN=.my.own.domain.com", "START_ZOOKEEPER=false", "START_MESOS_MASTER=false", "START_MARATHON=false", "START_CHRONOS=false", "START_MESOS_SLAVE=false", "START_REGISTRATOR=false")
	t.Cleanup(func() { host.try(t, host.env, "sh", "-c", "cd "+lab.Root(t)+" && tools/up.sh down") })
	for _, b := range readPage(t, readme).consoles() {
		if b.info == "console on=laptop" {
			host.do(t, func() { bringAlong(t, lab.Root(t), laptop.dir) })
			laptop.console(t, false).follow(b.commands(t))
			continue
		}
		commands := b.commands(t)
		if i := slices.IndexFunc(commands, func(p printed) bool { return strings.Contains(p.command, "resolvconf restore") }); i >= 0 {
			// What the load balancer's page shows goes on `make up` too.
			host.console(t, true).follow(commands[:i])
			commands = commands[i:]
			var shell *console // whose jobs are numbered from one on
			host.do(t, func() { shell = newConsole(t, host.env, lab.Root(t)) })
			for _, b := range readPage(t, balancerPage).consoles() {
				shell.follow(b.commands(t))
			}
			rollingDeployment(t, host)
		}
		host.console(t, true).follow(commands)
	}
}

// copyOfModule gives a host a copy of this module in its place, of which what its owner has
// running, and its settings, are no part.
func copyOfModule(t *testing.T, h *host) {
	t.Helper()
	root := lab.Root(t)
	h.do(t, func() {
		if err := os.MkdirAll("/run/module/work", 0o755); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{"/run/module/upper/var", "/run/module/upper/restricted"} {
			err := os.MkdirAll(dir, 0o755)
			if err == nil {
				err = unix.Setxattr(dir, "trusted.overlay.opaque", []byte("y"), 0)
			}
			if err != nil {
				t.Fatalf("cannot hide what is there in place of %s: %v", dir, err)
			}
		}
		if err := unix.Mount("overlay", root, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=/run/module/upper,workdir=/run/module/work", root)); err != nil {
			t.Fatalf("cannot make a copy of %s: %v", root, err)
		}
	})
}

// TestCommandsBesideSystemdResolved types the commands of its page on a host that has a real
// one.
func TestCommandsBesideSystemdResolved(t *testing.T) {
	t.Parallel()
	r := newResolving(t)
	r.systemdResolved(t)
	host := newTypedHost(t, r.host, ownIP)
	host.env = append(host.env, "PATH="+strings.Join([]string{r.bin, host.bin, filepath.Join(lab.Built(t, "resolved"), "usr/bin"), "/usr/sbin:/usr/bin:/sbin:/bin"}, ":"))
	host.start(t, append(only("dns"), "IP="+ownIP, "HOSTNAME=node-1", "FQDN="+ownName, "CONSUL_DNS=127.0.0.99:8600")...)
	host.ready(t, "dns")
	for _, b := range readPage(t, resolvedPage).consoles() {
		host.console(t, false).follow(b.commands(t))
	}
}

// bringAlong copies client files from a folder that only the host sees.
func bringAlong(t *testing.T, from, to string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(from, "*.conf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no client file is in %s: %v", from, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(file)), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
