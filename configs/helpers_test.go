package configs

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testHost is an ordinary host with Docker on it.
func testHost() HostFacts {
	return HostFacts{
		Hostname:  "node1",
		HostsFile: "127.0.0.1 localhost\n10.0.0.5 node1.example.com node1\n",
		Interfaces: []Interface{
			{Name: "lo", Addrs: addrs("127.0.0.1", "::1")},
			{Name: "docker0", Addrs: addrs("172.17.0.1")},
			{Name: "br-1234", Addrs: addrs("172.18.0.1")},
			{Name: "eth1", Addrs: addrs("192.168.7.5")},
			{Name: "eth0", Addrs: addrs("fe80::5", "10.0.0.5", "fd00::5"), Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/24"), netip.MustParsePrefix("fd00::5/64")}},
		},
		DefaultInterface: "eth0",
		Users:            []string{"root", "zookeeper", "nobody"},
	}
}

func addrs(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

func addrPorts(texts ...string) []netip.AddrPort {
	var list []netip.AddrPort
	for _, text := range texts {
		list = append(list, netip.MustParseAddrPort(text))
	}
	return list
}

func cidrs(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// writeFiles makes a settings folder from name and content pairs.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// loadFile loads one settings file on the ordinary host.
func loadFile(t *testing.T, content string) (*Loaded, error) {
	t.Helper()
	return Load(Sources{Dir: writeFiles(t, map[string]string{"host": content}), DirGiven: true, Host: testHost()})
}

// loadEnv loads an environment on the ordinary host, without files.
func loadEnv(t *testing.T, environ ...string) (*Loaded, error) {
	t.Helper()
	return Load(Sources{Dir: t.TempDir(), DirGiven: true, Environ: environ, Host: testHost()})
}

func mustLoadEnv(t *testing.T, environ ...string) *Loaded {
	t.Helper()
	loaded, err := loadEnv(t, environ...)
	if err != nil {
		t.Fatalf("Load(%q): %v", environ, err)
	}
	return loaded
}

func originOf(t *testing.T, loaded *Loaded, name string) Origin {
	t.Helper()
	for _, o := range loaded.Origins {
		if o.Name == name {
			return o
		}
	}
	t.Fatalf("%s is not among the origins", name)
	return Origin{}
}

// wantError checks that an error holds all the pieces.
func wantError(t *testing.T, err error, pieces ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", pieces)
	}
	for _, piece := range pieces {
		if !strings.Contains(err.Error(), piece) {
			t.Errorf("the error lacks %q:\n%v", piece, err)
		}
	}
}
