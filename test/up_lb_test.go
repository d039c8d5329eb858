package test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"panteras/internal/lab"
)

// webServer serves text at an address of the namespace that the test is in.
func webServer(t testing.TB, addr, text string) {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echo(w)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, text)
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() { _ = server.Close(); <-ended })
}

// ownResolvConf gives the test and what it starts another /etc/resolv.conf.
func ownResolvConf(t testing.TB, text string) {
	t.Helper()
	ownMounts(t)
	file := filepath.Join(t.TempDir(), "resolv.conf")
	put(t, file, text)
	if err := unix.Mount(file, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("cannot mount over /etc/resolv.conf: %v", err)
	}
}

// curl is what a program says that asks as any other would: by /etc/resolv.conf.
func curl(t testing.TB, args ...string) string {
	t.Helper()
	output, err := exec.Command("curl", append([]string{"-sS", "--max-time", "20", "--noproxy", "*"}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v: %s", err, output)
	}
	return string(output)
}

// TestUpBalanced is three hosts with DNS_MODE=lb, of which the third has no HAProxy. It
// fetches a service by its names at port 80, from those whose HAProxy is well.
func TestUpBalanced(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 3)
	ownResolvConf(t, "nameserver 10.7.0.3\n")
	for i, h := range l.hosts {
		daemons := []string{"consul", "dns", "consul-template"}
		if i == 2 {
			daemons = daemons[:2]
		}
		role := []string{"MASTER=false", "CONSUL_HOSTS=-join=10.7.0.1"}
		if i == 0 {
			role = nil
		}
		h.settings(t, append(append(only(daemons...), role...),
			"IP="+h.ip, fmt.Sprintf("HOSTNAME=node-%d", i+1), "DNS_UPSTREAMS=127.0.0.1:9", "DNS_MODE=lb", "HAPROXY_ADD_DOMAIN=.my.own.domain.com",
			`CONSUL_PARAMS="`+quickConsul+`"`)...)
		h.start(t)
	}
	first, second, bare := l.hosts[0], l.hosts[1], l.hosts[2]
	first.ready(t, "consul", "dns", "haproxy")
	second.ready(t, "consul", "dns", "haproxy")
	bare.ready(t, "consul", "dns")
	first.do(t, func() {
		webServer(t, "10.7.0.1:31999", "served")
		if answer := httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/register", `{"Name":"my_service","Port":31999,"Tags":["haproxy"]}`); answer != "" {
			t.Fatalf("cannot register: %s", answer)
		}
	})
	leads := func(h *lanHost, name, want string) {
		t.Helper()
		got := ""
		h.do(t, func() {
			lab.Eventually(t, readyTime, name+" is "+want+" on "+h.ip, func() bool {
				got = strings.Join(sortedLines(lab.RunDig(t, "@"+h.ip, "+short", name)), " ")
				return got == want
			})
		})
	}
	fetch := func(url string) {
		t.Helper()
		bare.do(t, func() {
			got := ""
			lab.Eventually(t, readyTime, "to fetch "+url, func() bool {
				got = curl(t, url)
				return got == "served"
			})
		})
	}
	leads(first, "my_service.service.consul", "10.7.0.1")
	leads(second, "my_service.service.consul", "10.7.0.2")
	leads(bare, "my_service.service.consul", "10.7.0.1 10.7.0.2")
	for _, url := range []string{"http://my_service.service.consul", "http://my_service.my.own.domain.com/path"} {
		fetch(url)
	}
	bare.do(t, func() {
		for _, name := range []string{"no_service.service.consul", "no_service.node.consul"} {
			if got := lab.RunDig(t, "@"+bare.ip, name); !strings.Contains(got, "status: NXDOMAIN") {
				t.Errorf("%s: %s", name, got)
			}
		}
	})
	explained := func(h *lanHost, want string) {
		t.Helper()
		h.do(t, func() {
			if got := h.must(t, "explain", "my_service.my.own.domain.com", "--restricted", h.path("restricted")); !strings.Contains(got, want) {
				t.Errorf("explain on %s does not say %q: %s", h.ip, want, got)
			}
		})
	}
	explained(first, "A and AAAA: 10.7.0.1, the HAProxy of this host (DNS_MODE=lb)")
	explained(bare, "HAProxy  does not run on this host, which does not balance")
	explained(bare, "A and AAAA: 10.7.0.1 10.7.0.2, where HAProxy passes; on this host none does (DNS_MODE=lb)")

	// A HAProxy that is gone takes no more requests; the other does.
	first.do(t, func() { first.must(t, "stop", "haproxy") })
	leads(bare, "my_service.service.consul", "10.7.0.2")
	leads(first, "my_service.service.consul", "10.7.0.2")
	fetch("http://my_service.service.consul")
	second.do(t, func() { second.must(t, "stop", "haproxy") })
	leads(bare, "my_service.service.consul", "10.7.0.1") // where the service itself is
	explained(bare, "because no HAProxy passes")
	first.do(t, func() {
		first.must(t, "start", "haproxy")
		httpDo("PUT", "10.7.0.1:8500", "/v1/agent/service/deregister/my_service", "")
	})
	bare.do(t, func() {
		lab.Eventually(t, readyTime, "NXDOMAIN after the service has left", func() bool {
			return strings.Contains(lab.RunDig(t, "@"+bare.ip, "my_service.service.consul"), "status: NXDOMAIN")
		})
	})
	explained(bare, "because no instance with the tag haproxy or webapp passes")
	if left, _ := filepath.Glob(bare.path("run", "haproxy", "*")); len(left) > 0 {
		t.Errorf("the host without HAProxy has %q", left)
	}
}

// sortedLines are the lines of a text that are not empty.
func sortedLines(text string) []string {
	list := strings.Fields(text)
	slices.Sort(list)
	return list
}
