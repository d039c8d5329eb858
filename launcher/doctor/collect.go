package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"panteras/configs"
	"panteras/internal/consulclient"
	"panteras/internal/holder"
	"panteras/internal/resolv"
	"panteras/launcher"
	"panteras/launcher/rights"

	consul "github.com/hashicorp/consul/api"
	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// patience is how long Consul may take to answer.
const patience = 5 * time.Second

// Collect looks at this host. It changes nothing; what cannot be seen is a fact of its
// own.
func Collect(ctx context.Context, s *configs.Settings, plan *launcher.Plan, addrs []netip.Addr) Facts {
	return Facts{
		Root:         os.Geteuid() == 0,
		Up:           answers(filepath.Join(s.RunDir, "control.sock")),
		Addrs:        addrs,
		Held:         held(s.DNSListen),
		Resolv:       readResolv(),
		Consul:       askConsul(ctx, s, plan),
		Missing:      missing(plan),
		DockerSocket: exists(launcher.DockerSocket),
		Tunnel:       lookAtTunnel(s),
		Firewall:     firewall(),
		SELinux:      isOne("/sys/fs/selinux/enforce"),
		Clock:        clock(),
		Folders:      []Folder{folder("STATE_DIR", s.StateDir), folder("RUN_DIR", s.RunDir), folder("LOG_DIR", s.LogDir)},
	}
}

// answers tells whether somebody listens on a unix socket.
func answers(socket string) bool {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func held(listen []netip.AddrPort) []Held {
	var list []Held
	for _, a := range listen {
		for _, network := range []string{"udp", "tcp"} {
			for _, h := range holder.Find(a, network) {
				list = append(list, Held{Listen: a, Network: network, By: h, Ours: h.Name == "panteras"})
			}
		}
	}
	return list
}

func readResolv() Resolv {
	var r Resolv
	text, err := os.ReadFile(resolv.File)
	if err != nil {
		r.Err = err.Error()
	}
	r.Servers = resolv.Nameservers(string(text))
	if text, err := os.ReadFile(resolv.Copy); err == nil {
		r.Copy, r.Before = true, resolv.Nameservers(string(text))
	}
	return r
}

func askConsul(ctx context.Context, s *configs.Settings, plan *launcher.Plan) Consul {
	client, err := consulclient.New(s)
	if err != nil {
		return Consul{Err: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	leader, err := client.Status().LeaderWithQueryOptions((&consul.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return Consul{Err: consulclient.Explain(err, s.ConsulHTTPAddr).Error()}
	}
	c := Consul{Leader: leader}
	if leader == "" {
		return c
	}
	gone := missing(plan) // what is not there needs no rights
	var there []launcher.Daemon
	for _, d := range plan.Daemons {
		if !slices.ContainsFunc(gone, func(m Missing) bool { return m.Daemon == d.Name }) {
			there = append(there, d)
		}
	}
	if c.Lacking, err = rights.Lacking(ctx, s, rights.Needed(s, there)); err != nil {
		c.RightsErr = err.Error()
	}
	own := slices.ContainsFunc(plan.Daemons, func(d launcher.Daemon) bool { return d.Name == "consul" && d.Run })
	c.Nameless = own && nameless(ctx, s)
	c.Unwritten = own && unwritten(ctx, client, s.Hostname)
	return c
}

// unwritten tells that the catalogue knows no addresses of this host but the one of the
// gossip. Others come from the host's own Consul, which writes them as soon as it may.
func unwritten(ctx context.Context, client *consul.Client, node string) bool {
	known, _, err := client.Catalog().Node(node, (&consul.QueryOptions{}).WithContext(ctx))
	return err == nil && known != nil && known.Node != nil && len(known.Node.TaggedAddresses) == 0
}

// nameless tells whether Consul's DNS answers that there is no Consul. Its servers are
// registered wherever there is a leader, so this is a matter of rights.
func nameless(ctx context.Context, s *configs.Settings) bool {
	if len(s.ConsulDNS) == 0 {
		return false
	}
	q := new(dns.Msg).SetQuestion(dns.Fqdn("consul.service."+s.ConsulDomain), dns.TypeA)
	reply, _, err := (&dns.Client{Timeout: patience}).ExchangeContext(ctx, q, s.ConsulDNS[0].String())
	return err == nil && reply.Rcode == dns.RcodeNameError
}

// missing looks every program up where its daemon would. ZooKeeper's program is Java,
// so its jar counts as well.
func missing(plan *launcher.Plan) []Missing {
	var list []Missing
	for _, d := range plan.Daemons {
		if !d.Run || len(d.Argv) == 0 {
			continue
		}
		if !installed(d.Argv[0], d.Env["PATH"]) {
			list = append(list, Missing{d.Name, d.Argv[0]})
			continue
		}
		for _, word := range d.Argv {
			for element := range strings.SplitSeq(word, ":") {
				if strings.HasSuffix(element, "/zookeeper.jar") && !exists(element) {
					list = append(list, Missing{d.Name, element})
				}
			}
		}
	}
	return list
}

func installed(program, path string) bool {
	if strings.Contains(program, "/") {
		return executable(program)
	}
	for dir := range strings.SplitSeq(path, ":") {
		if executable(filepath.Join(dir, program)) {
			return true
		}
	}
	return false
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// isOne reads a switch of the kernel.
func isOne(path string) bool {
	text, err := os.ReadFile(path)
	return err == nil && strings.TrimSpace(string(text)) == "1"
}

// tunDevice opens the device and makes nothing with it.
func tunDevice() string {
	const device = "/dev/net/tun"
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	switch {
	case err == nil:
		_ = f.Close()
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return "there is no " + device
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return "the kernel has no driver for " + device
	}
	return err.Error()
}

func clock() Clock {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Clock{Err: err.Error()}
	}
	const timeError = 5 // TIME_ERROR of adjtimex(2)
	return Clock{Synchronised: state != timeError && t.Status&unix.STA_UNSYNC == 0}
}

// folder looks whether a folder, or the first one above it that is there, can be
// written to.
func folder(setting, path string) Folder {
	f := Folder{Setting: setting, Path: path, Exists: exists(path)}
	at := path
	for !exists(at) && at != filepath.Dir(at) {
		at = filepath.Dir(at)
	}
	if info, err := os.Stat(at); err != nil || !info.IsDir() {
		f.Err = fmt.Sprintf("%s is no folder", at)
		return f
	}
	if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
		f.Err = fmt.Sprintf("%s: %v", at, err)
		return f
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(at, &stat); err != nil {
		f.Err = fmt.Sprintf("%s: %v", at, err)
		return f
	}
	f.Free, f.FreeNodes = stat.Bavail*uint64(stat.Bsize), stat.Ffree
	if stat.Files == 0 { // a file system without a limit says so
		f.FreeNodes = fewNodes
	}
	return f
}
