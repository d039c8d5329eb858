package test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"panteras/internal/lab"

	"github.com/miekg/dns"
)

// resolved gives a host systemd-resolved with its D-Bus, in place of what the host's
// resolv.conf named, and returns the PATH that resolvectl is in, and its process.
func (h *host) resolved(t testing.TB, recursor string) (path string, p *lab.Process) {
	t.Helper()
	unpacked := lab.Built(t, "resolved")
	h.do(t, func() {
		const id = 64990
		for file, line := range map[string]string{
			"/etc/passwd": fmt.Sprintf("systemd-resolve:x:%d:%[1]d::/:/usr/sbin/nologin\n", id),
			"/etc/group":  fmt.Sprintf("systemd-resolve:x:%d:\n", id),
		} {
			old, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var rest strings.Builder
			for l := range strings.Lines(string(old)) {
				if !strings.HasPrefix(l, "systemd-resolve:") {
					rest.WriteString(l)
				}
			}
			put(t, file, rest.String()+line)
		}
		for _, dir := range []string{"/run/dbus", "/run/systemd/resolve", "/etc/systemd"} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown("/run/systemd/resolve", id, id); err != nil {
			t.Fatal(err)
		}
		put(t, "/etc/systemd/resolved.conf", "[Resolve]\nDNS="+recursor+"\nFallbackDNS=\nLLMNR=no\nMulticastDNS=no\nDNSSEC=no\n")
		put(t, "/etc/resolv.conf", "nameserver 127.0.0.53\n")
		bus := filepath.Join(t.TempDir(), "bus.conf")
		var allow strings.Builder
		for _, what := range []string{"user", "own", "send_destination", "receive_sender"} {
			fmt.Fprintf(&allow, "<allow %s=\"*\"/>", what)
		}
		put(t, bus, `<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><policy context="default">`+allow.String()+`</policy></busconfig>`)
		lab.Program(t, "/usr/bin/dbus-daemon", lab.PanterasOptions{Args: []string{"--config-file=" + bus, "--nofork", "--nopidfile"}})
		lab.Eventually(t, patience, "D-Bus", func() bool { _, err := os.Stat("/run/dbus/system_bus_socket"); return err == nil })
		p = lab.Program(t, filepath.Join(unpacked, resolvedProgram), lab.PanterasOptions{})
	})
	path = "PATH=" + filepath.Join(unpacked, "usr/bin") + ":/usr/sbin:/usr/bin:/sbin:/bin"
	lab.Eventually(t, patience, "systemd-resolved", func() bool {
		_, err := h.try(t, nil, filepath.Join(unpacked, "usr/bin/resolvectl"), "status")
		return err == nil
	})
	return path, p
}

// resolvedProgram is where systemd-resolved lies among what `make tools` unpacked.
const resolvedProgram = "lib/systemd/systemd-resolved"

// With systemd-resolved the platform's names, and no others, are asked of the gateway, which
// has them from Consul.
// Without, all are; either way the client file does it, unchanged, and undoes it.
func TestTunnelSetsUpNames(t *testing.T) {
	t.Parallel()
	const own, platform = "203.0.113.9", serviceAddr
	for _, with := range []bool{true, false} {
		name := map[bool]string{true: "with systemd-resolved", false: "without"}[with]
		t.Run(name, func(t *testing.T) {
			l := newTunnelLab(t)
			l.client.recursor(t, "127.0.0.77:53", own)
			where := []string{"--tunnel-store", "file"}
			if with {
				node := l.withConsul()
				where = []string{"--consul-http-addr", node.HTTPAddr.String()}
				l.start()
				l.withDNS(node, serviceAddr+":53") // which nobody asks
			} else {
				// What answers at the gateway's address stands for its DNS server.
				l.gateway.recursor(t, "0.0.0.0:53", platform)
				l.start()
			}
			l.client.do(t, func() { put(t, "/etc/resolv.conf", "nameserver 127.0.0.77\n") })
			path, server := "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "127.0.0.77:53"
			if with {
				path, _ = l.client.resolved(t, "127.0.0.77")
				server = "127.0.0.53:53"
			}
			file := filepath.Join(t.TempDir(), "alice.conf")
			lab.Eventually(t, patience, "the gateway to be published", func() bool {
				snapshot, err := l.store.Read(t.Context())
				_, ok := snapshot.Gateway("gw")
				return err == nil && ok
			})
			l.gateway.run(t, filepath.Join(lab.Root(t), "bin", "panteras"), append([]string{"peer", "add", "alice", "--os", "linux", "--output", file, "--state-dir", l.state, "--log-dir", t.TempDir()}, where...)...)
			wgQuickUp(t, l.client, file, path)
			lab.Eventually(t, patience, "the peer to be let in", func() bool { return l.client.pings(t, tunnelGateway) })
			l.service.serve(t, serviceAddr+":80", func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\npython")
			})
			// As people do it, whoever resolves the name.
			lab.Eventually(t, patience, "curl to fetch from a service by its name", func() bool {
				out, err := l.client.try(t, nil, "curl", "-sS", "--max-time", "5", "http://python.service.consul")
				return err == nil && out == "python"
			})
			asked := func(server, name string) string {
				reply, err := l.client.asks(t, server, name, dns.TypeA)
				if err != nil || len(reply.Answer) == 0 {
					return ""
				}
				return reply.Answer[0].(*dns.A).A.String()
			}
			if with {
				lab.Eventually(t, patience, "a name of the platform", func() bool { return asked(server, "python.service.consul") == platform })
				if got := asked(server, "www.example.com"); got != own {
					t.Errorf("a name of the Internet came from %q", got)
				}
			} else {
				l.client.do(t, func() {
					b, _ := os.ReadFile("/etc/resolv.conf")
					first, _, _ := strings.Cut(strings.TrimPrefix(string(b), "nameserver "), "\n")
					if first != tunnelGateway {
						t.Errorf("resolv.conf:\n%s", b)
					}
				})
				if got := asked(tunnelGateway+":53", "python.service.consul"); got != platform {
					t.Errorf("a name of the platform is %q", got)
				}
			}
			if out, err := l.client.try(t, []string{path}, "wg-quick", "down", file); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			l.client.do(t, func() {
				b, _ := os.ReadFile("/etc/resolv.conf")
				if want := "nameserver " + strings.TrimSuffix(server, ":53") + "\n"; string(b) != want {
					t.Errorf("afterwards resolv.conf says %q, not %q", b, want)
				}
			})
			if got := asked(server, "www.example.com"); got != own {
				t.Errorf("afterwards a name of the Internet comes from %q", got)
			}
		})
	}
}
