package haproxy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// The names of the files.
const (
	ConfigFile = "haproxy.cfg"
	HostsFile  = "hosts.map"
	PathsFile  = "paths.map"
)

// httpFrontend is where all HTTP arrives.
const httpFrontend = "http-in"

// Config is a whole configuration.
type Config struct {
	// Files are the contents by name; ConfigFile names the others relative to its own
	// folder.
	Files map[string]string
	// Shape is what a running HAProxy can take on only by a reload.
	Shape  Shape
	Report Report
	// Hosts and Paths are what the map files say.
	Hosts, Paths map[string]string
}

// Shape is a configuration without the servers: what the runtime API cannot change.
type Shape struct {
	// ID is the description by which a running HAProxy tells which shape it has.
	ID string `json:"id"`
	// Head stands for everything but the services.
	Head string `json:"head"`
	// Sections stand for the services' backends, by name.
	Sections map[string]string `json:"sections"`
}

// Takes tells whether a HAProxy of this shape can serve the other one's services
// without a reload: it knows all backends, and TCP ports are the same. Backends that
// are not wanted any more are empty until the next reload.
func (s Shape) Takes(other Shape) bool {
	if s.Head != other.Head {
		return false
	}
	for name, section := range other.Sections {
		if s.Sections[name] != section {
			return false
		}
	}
	for name := range s.Sections {
		if _, wanted := other.Sections[name]; !wanted && strings.HasPrefix(name, "tcp_") {
			return false
		}
	}
	return true
}

// Render makes the configuration for a snapshot; nil is one without services. previous
// is the last report, nil if there is none.
func Render(s *Snapshot, o Options, previous *Report) *Config {
	if s == nil {
		s = &Snapshot{}
	}
	backends, findings := backendsOf(s, &o, previous)
	c := &Config{
		Files: pages(&o), Hosts: map[string]string{}, Paths: map[string]string{},
		Report: Report{Backends: backends, Findings: findings},
		Shape:  Shape{Sections: map[string]string{}},
	}
	var sections, shapes strings.Builder
	for i := range backends {
		b := &backends[i]
		for _, host := range b.Hosts {
			c.Hosts[host] = b.Name
		}
		for _, path := range b.Paths {
			c.Paths[path+"/"] = b.Name
		}
		head := b.section(&o)
		c.Shape.Sections[b.Name] = digest(head)
		sections.WriteString("\n" + head)
		shapes.WriteString(head)
		for _, server := range b.Servers {
			sections.WriteString("    server " + server.Name + " " + server.Arguments() + "\n")
		}
	}
	c.Files[HostsFile], c.Files[PathsFile] = mapFile(c.Hosts), mapFile(c.Paths)
	head := o.head()
	c.Shape.Head = digest(head + fmt.Sprint(pages(&o)))
	c.Shape.ID = "panteras-" + digest(c.Shape.Head+shapes.String())
	c.Files[ConfigFile] = "# Made by panteras from Consul's services; changes are lost.\nglobal\n    description " + c.Shape.ID + "\n" + head + sections.String()
	return c
}

// Arguments are the address and the options of a server, in the file and at run time.
func (s Server) Arguments() string {
	return fmt.Sprintf("%s check inter 2s fastinter 500ms fall 3 rise 1 weight %d maxconn %d", s.Address, s.Weight, s.Maxconn)
}

// mapFile writes a map, keys in order.
func mapFile(m map[string]string) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(m)) {
		text.WriteString(key + " " + m[key] + "\n")
	}
	return text.String()
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// section is a backend without its servers.
func (b *Backend) section(o *Options) string {
	lines := []string{"backend " + b.Name}
	if b.Port != 0 {
		lines = []string{"listen " + b.Name, "    mode tcp", "    option tcplog"}
		lines = append(lines, o.binds(b.Port)...)
	}
	lines = append(lines, "    balance roundrobin")
	if b.Check != "" {
		lines = append(lines, "    option httpchk "+b.Check)
	}
	return strings.Join(lines, "\n") + "\n"
}

// binds are the addresses of a frontend.
func (o *Options) binds(port uint16) []string {
	lines := []string{"    bind " + bind(o.Listen, port)}
	if o.VIP.IsValid() && !o.Listen.IsUnspecified() && o.VIP != o.Listen {
		lines = append(lines, "    bind "+bind(o.VIP, port)+" transparent") // also while another host holds it
	}
	return lines
}

// bind is an address as HAProxy takes it: a port after an IPv6 address needs no
// brackets, and :: takes IPv4 as well.
func bind(a netip.Addr, port uint16) string {
	text := fmt.Sprintf("%s:%d", a, port)
	if a == netip.IPv6Unspecified() {
		text += " v4v6"
	}
	return text
}

// askedFor is the name that a client asks for, as the maps have names.
const askedFor = "req.hdr(host),host_only,rtrim(.),lower"

// head is everything but the services, without the lines before its own.
func (o *Options) head() string {
	lines := []string{
		"    default-path config",
		"    maxconn 16384",
		"    no strict-limits",   // fewer connections where few files may be open, instead of no start
		"    hard-stop-after 1h", // as long as a silent WebSocket may live
		"    mworker-max-reloads 50",
		"    log 127.0.0.1:514 local0",
		"    log 127.0.0.1:514 local1 notice",
		"    log-send-hostname",
		"    stats socket " + o.Socket + " mode 600 level admin",
		"    stats timeout 1m",
	}
	if o.User != "" {
		lines = append(lines, "    user "+o.User, "    group "+o.User)
	}
	lines = append(
		lines, "",
		"defaults",
		"    mode http",
		"    log global",
		"    option dontlognull",
		"    option redispatch 1",           // each time another server
		"    option idle-close-on-response", // or a reload cuts off who is about to ask again
		"    http-reuse safe",
		`    unique-id-format %{+X}o\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid`,
		"    unique-id-header X-Unique-ID",
		"    timeout connect 1s", // of a host that has lost power, of which Consul tells after some seconds
		"    timeout queue 5s",   // or it is as short as that: who waits for a place (maxconn) is not lost yet
		"    timeout client 60s",
		"    timeout server 60s",
		"    timeout tunnel 3600s",
		"    timeout check 2s",
	)
	for _, code := range errorCodes {
		lines = append(lines, fmt.Sprintf("    errorfile %d %d.http", code.code, code.code))
	}
	lines = append(lines, "", "listen stats")
	lines = append(lines, o.binds(o.StatsPort)...)
	lines = append(
		lines,
		"    no log",
		"    stats enable",
		"    stats hide-version",
		`    stats realm Haproxy\ Statistics`,
		"    stats uri /",
		"    stats refresh 10s",
		"", "frontend "+httpFrontend,
	)
	lines = append(lines, o.binds(o.HTTPPort)...)
	lines = append(
		lines,
		"    option httplog",
		"    option forwardfor",
		// Most requests need no more than the first of these.
		"    http-request set-var(txn.backend) "+askedFor+",map_str("+HostsFile+")",
		"    http-request set-var(txn.backend) path,concat(/),map_beg("+PathsFile+") unless { var(txn.backend) -m found }",
		"    http-request set-var(txn.host) "+askedFor+" unless { var(txn.backend) -m found }",
		"    use_backend %[var(txn.backend)] if { var(txn.backend) -m found }",
	)
	if len(o.Hosts) > 0 {
		lines = append(lines, "    use_backend portal if { var(txn.host) -m str "+strings.Join(o.Hosts, " ")+" }")
	}
	lines = append(
		lines,
		"    default_backend no-such-service",
		"", "backend portal",
		`    http-request return status 200 content-type "text/html; charset=utf-8" lf-file `+portalFile,
		"", "backend no-such-service",
		`    http-request return status 503 content-type "text/html; charset=utf-8" file `+unknownFile,
	)
	return strings.Join(lines, "\n") + "\n"
}
