package dnsserver

import (
	"net/netip"
	"os"
	"syscall"
	"testing"
)

// A file that is there and cannot be read is no file without recursors.
func TestUnreadableFilesAreNotEmptyOnes(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{resolvCopy, resolvConf, resolvSystemd} {
		files := map[string]string{resolvConf: "nameserver 127.0.0.53", resolvSystemd: "nameserver 192.0.2.3"}
		if broken == resolvCopy {
			files[resolvConf] = "nameserver 192.0.2.1"
		}
		_, _, err := readRecursors(func(path string) ([]byte, error) {
			if path == broken {
				return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EMFILE}
			}
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
		})
		if err == nil {
			t.Errorf("no error although %s cannot be read", broken)
		}
	}
}

func TestEmptied(t *testing.T) {
	t.Parallel()
	some := facts{recursors: []netip.AddrPort{recAddr}, hosts: []byte("192.0.2.1 a")}
	for want, f := range map[bool][]facts{
		true:  {{hosts: some.hosts}, {recursors: some.recursors}, {}},
		false: {some, {recursors: some.recursors, hosts: []byte("x")}},
	} {
		for _, now := range f {
			if got := now.emptied(&some); got != want {
				t.Errorf("%+v: %v", now, got)
			}
		}
	}
	if (&facts{}).emptied(&facts{}) {
		t.Error("nothing was there before")
	}
}

// Connections leave descriptors to the sockets towards upstreams.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for files, want := range map[uint64]int{40: 10, 512: 128, 1024: 512, 4096: 3584, 20000: maxTCPConns, 1 << 40: maxTCPConns} {
		if got := places(files); got != want {
			t.Errorf("%d descriptors: %d connections, want %d", files, got, want)
		}
	}
}
