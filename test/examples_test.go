package test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"panteras/internal/lab"
)

// exampleHost is a host as `make up` brings it up, that asks its own DNS server for
// names, as the README says.
func exampleHost(t *testing.T) *upHost {
	t.Helper()
	ownMounts(t)
	resolvConf := filepath.Join(t.TempDir(), "resolv.conf")
	put(t, resolvConf, "nameserver 127.0.0.1\n")
	if err := unix.Mount(resolvConf, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("cannot mount over /etc/resolv.conf: %v", err)
	}
	h := oneHost(t, append(only("consul", "consul-template", "dns"), "HAPROXY_ADD_DOMAIN=.my.own.domain.com")...)
	h.up(t)
	h.ready(t, "consul", "consul-template", "haproxy", "dns")
	return h
}

// console is a shell on the host, where `go build` works as everywhere.
func (h *upHost) console(t *testing.T) *console {
	t.Helper()
	// What will be built is looked at here, or a cached result would outlive a change of it.
	sources, err := filepath.Glob(filepath.Join(lab.Root(t), "examples", "*", "*"))
	for i := 0; err == nil && i < len(sources); i++ {
		_, err = os.ReadFile(sources[i])
	}
	if err != nil || len(sources) == 0 {
		t.Fatalf("cannot read the examples: %v", err)
	}
	env := append(os.Environ(), h.env...)
	return newConsole(t, append(env, "PATH="+os.Getenv("PATH"), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false"))
}

// TestExamplesInPages runs the commands of the pages that tell how to use the load
// balancer, as they are printed; the rolling deployment of smooth-webapp loses nothing.
func TestExamplesInPages(t *testing.T) {
	t.Parallel()
	h := exampleHost(t)
	c := h.console(t)
	for _, page := range []string{"README.md", "docs/balancer.md"} {
		c.follow(commandsIn(t, page))
	}

	// The rolling deployment, under load.
	commands := commandsIn(t, "examples/smooth-webapp/README.md")
	begin := slices.IndexFunc(commands, func(p printed) bool { return p.output != "" }) + 1
	end := slices.IndexFunc(commands, func(p printed) bool { return strings.Contains(p.command, "deregister") })
	c.follow(commands[:begin])
	clients, stop := h.console(t), filepath.Join(t.TempDir(), "stop")
	clients.run(`load() { until [ -e ` + stop + ` ]; do curl -s -o /dev/null -w '%{http_code}\n' -H 'Host: smooth-webapp.service.consul' "$@" 'http://127.0.0.1/?[1-50]' || echo lost; done; }`)
	clients.run(`(load & load -H 'Connection: close' & load -d x & wait) | sort | uniq -c > ` + stop + `.codes & `)
	c.follow(commands[begin:end])
	put(t, stop, "")
	if codes, _ := clients.run("wait; cat " + stop + ".codes"); !regexp.MustCompile(`^ *[0-9]+ 200\n$`).MatchString(codes) {
		t.Errorf("during the rolling deployment there were these answers:\n%s", codes)
	} else {
		t.Logf("answers during the rolling deployment: %s", codes)
	}
	c.follow(commands[end:])
	lab.Eventually(t, readyTime, "nothing to be left in HAProxy", func() bool {
		output := h.must(t, "haproxy", "report")
		return !strings.Contains(output, "webapp") && !strings.Contains(output, "my_")
	})
}
