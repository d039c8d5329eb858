package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// plain is a service of which all is understood.
const plain = `services:
  panteras:
    build: {context: ., args: {VERSION: v1}}
    image: panteras:latest
    container_name: panteras
    network_mode: host
    restart: always
    stop_grace_period: 75s
    entrypoint: [panteras, up]
    environment: {CONSUL_DC: west}
    cap_add: [NET_ADMIN]
    devices: ["/dev/net/tun"]
    ulimits: {nofile: 65536}
    tmpfs: ["/run/panteras:mode=755"]
    volumes:
      - {type: bind, source: /var/lib/panteras, target: /data, read_only: true, bind: {create_host_path: false}}
`

// What docker run is not told would not be tested.
func TestWhatIsNotSaidIsAnError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, new, unknown string }{
		{"nothing", "", "", ""},
		{"a field", "    restart:", "    hostname: other\n    restart:", "hostname"},
		{"two", "    restart:", "    labels: {a: b}\n    sysctls: {net.ipv4.ip_forward: 1}\n    restart:", "labels/a, sysctls/net.ipv4.ip_forward"},
		{"a command", "    restart:", "    command: [plan]\n    restart:", "command"},
		{"ports", "network_mode: host", "ports: ['53:53']", "networks/default, ports/"},
		{"of a build", "context: .,", "context: ., target: consul,", "build/target"},
		{"of a volume", "create_host_path: false", "create_host_path: false, propagation: shared", "volumes/bind/propagation"},
		{"of a limit", "nofile: 65536", "nofile: {soft: 1024, hard: 65536}", "ulimits/nofile/hard, ulimits/nofile/soft"},
	} {
		file := filepath.Join(t.TempDir(), "compose.yaml")
		if err := os.WriteFile(file, []byte(strings.Replace(plain, c.old, c.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		service, err := read(file, "panteras")
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		err = understood(service)
		if c.unknown == "" && err != nil || c.unknown != "" && (err == nil || !strings.Contains(err.Error(), c.unknown)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.unknown)
		}
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(file, []byte(plain), 0o600); err != nil {
		t.Fatal(err)
	}
	service, err := read(file, "panteras")
	if err != nil {
		t.Fatal(err)
	}
	run, err := runArguments(service, "/root-of-host")
	want := []string{
		"--name=panteras", "--network=host", "--restart=always", "--stop-timeout=75", "--privileged=false", "--entrypoint=panteras", "--cap-add=NET_ADMIN",
		"--device=/dev/net/tun:/dev/net/tun:rwm", "--ulimit=nofile=65536", "--env=CONSUL_DC=west",
		"--mount=type=bind,source=/root-of-host/var/lib/panteras,target=/data,readonly", "--tmpfs=/run/panteras:mode=755", "panteras:latest", "up",
	}
	if err != nil || !slices.Equal(run, want) {
		t.Errorf("docker run %q, %v, want\n%q", run, err, want)
	}
	build, err := buildArguments(service)
	if err != nil || !slices.Equal(build, []string{"--tag=panteras:latest", "--build-arg=VERSION=v1", filepath.Dir(file)}) {
		t.Errorf("docker build %q, %v", build, err)
	}
}
