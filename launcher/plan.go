package launcher

import (
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"panteras/configs"
)

// Facts are what a plan depends on beside the settings.
type Facts struct {
	// Host is the machine the settings were loaded for.
	Host configs.HostFacts
	// Self is the full path of this program, which the DNS server and the gateway
	// are part of.
	Self string
	// Taken names the processes that hold a port now, "" if none does. Nil is not to ask:
	// where the launcher runs already, they are its own.
	Taken func(network string, at netip.AddrPort) string
}

// Plan is what a host would run. Its text and its JSON hold no secrets; its fields do.
type Plan struct {
	// Settings are all settings, by name, in the order of the documentation.
	Settings []configs.Origin
	// Findings are what is wrong with the settings, errors first.
	Findings []configs.Finding
	// Daemons are all daemons there are, whether they run or not, always in the
	// same order.
	Daemons []Daemon

	secrets   []string
	daemonEnv map[string]string // of the file env
}

// Daemon is one program and everything about how it runs.
type Daemon struct {
	Name string
	// Run tells whether it runs on this host, Because which setting decided that.
	Run     bool
	Because string
	// User is the user it runs as, and the owner of Files.
	User string
	// NOFile is how many files it may have open.
	NOFile int
	// Argv is the program, to be looked up in the PATH of Env, and its arguments.
	Argv []string
	// Env is its whole environment: nothing is inherited, because Mesos and Marathon
	// take every MESOS_… and MARATHON_… for an option.
	Env map[string]string
	// Files must lie there before it starts.
	Files []File
	// Probe tells when it is ready.
	Probe Probe
	// UI is where its user interface answers, "" where Probe does.
	UI string
	// After are daemons of this plan that run and must be ready before; "docker" is
	// Docker's socket, which is no daemon of ours.
	After []string
	// Patience is how long it waits for After at most; it then starts without. 0 is for
	// ever.
	Patience time.Duration
	Stop     Stop
	// StopAgain tells that the signal to stop may get lost, as HAProxy loses it while it
	// reads its files anew, and does no harm when it comes again.
	StopAgain bool
	// StopForNext is the signal in the place of Stop's where a new process of it starts
	// right after: the old one may leave behind what that one needs. "" is Stop's.
	StopForNext string
	// Reload is the signal that makes it read its files anew, "" if it must start anew
	// for that.
	Reload string
	// Self tells that it is this program.
	Self bool
	// Overlaps tells that a new process of it starts before the old one ends, with the
	// same Sockets.
	Overlaps bool
	// Needs are files without which its program cannot be said to be installed.
	Needs []string
	// Capabilities are what it may do although its User is not root, such as
	// CAP_NET_ADMIN.
	Capabilities []string
	// Sockets are opened for it and stay open while it is away.
	Sockets []Socket
	// Watch is another daemon of the plan, one of After, that this one has an eye on.
	Watch Watch
	// Floating is an address that it may give this host, and does not take back when it is
	// killed.
	Floating Floating
	// TasksOutlive tells that processes which it leaves behind are tasks that its
	// successor finds again.
	TasksOutlive bool

	// Metrics is where a daemon that is this program has metrics of its own, written as
	// METRICS_LISTEN is; "" for others.
	Metrics string

	ports []port
}

// WebUI is the scheme and the port of the user interface, also where the URL leaves the
// port to its scheme; 0 if the daemon has none.
func (d *Daemon) WebUI() (scheme string, port uint16) {
	where := d.UI
	if where == "" {
		where = d.Probe.URL
	}
	u, err := url.Parse(where)
	if err != nil || u.Host == "" {
		return "", 0
	}
	text := u.Port()
	if text == "" {
		text = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	n, _ := strconv.ParseUint(text, 10, 16)
	return u.Scheme, uint16(n)
}

// Floating is an address that one of several hosts has, on one of its devices. The zero
// value is none.
type Floating struct {
	Device string
	Addr   netip.Addr
}

// Watch is a file that tells whether a daemon does its work. It holds "0" while it does,
// "1" while it does not, and a line feed.
type Watch struct {
	// Daemon is the one that the file is about, "" if there is none.
	Daemon string
	Path   string
}

// Socket is where a daemon is reached by datagrams and, with TCP, by connections too.
type Socket struct {
	Addr netip.AddrPort
	TCP  bool
}

// Docker is the name in [Daemon.After] of a socket that somebody else serves.
const Docker = "docker"

// File is a file that a daemon reads.
type File struct {
	Path string
	// Mode is in octal, such as "0600". The folder that the file lies in belongs to
	// the daemon as well and is 0700.
	Mode    string
	Content string
	// Keep tells that a file which is there already stays as it is: Content is only
	// what to begin with.
	Keep bool
}

// The kinds of a [Probe].
const (
	// ProbeHTTP is ready when URL answers with a status of 200 to 299 and a body
	// that holds Expect.
	ProbeHTTP = "http"
	// ProbeTCP is ready when something accepts connections at Address.
	ProbeTCP = "tcp"
	// ProbeZooKeeper is ready when ZooKeeper at Address answers srvr with its mode.
	ProbeZooKeeper = "zookeeper"
	// ProbeNotify is ready when the daemon says so to NOTIFY_SOCKET (sd_notify).
	ProbeNotify = "notify"
	// ProbeRunning is ready as soon as it runs: there is nothing to ask.
	ProbeRunning = "running"
)

// Probe is how to tell that a daemon is ready.
type Probe struct {
	Kind    string `json:"kind"`
	URL     string `json:"url,omitempty"`
	Expect  string `json:"expect,omitempty"`
	Address string `json:"address,omitempty"`
	// TLS is how a URL with https is asked.
	TLS *TLS `json:"tls,omitempty"`
}

// TLS is how a daemon is asked over TLS. Empty fields are what Go does by default.
type TLS struct {
	// CAFile and CAPath hold the authorities whose certificates are good.
	CAFile string `json:"ca_file,omitempty"`
	CAPath string `json:"ca_path,omitempty"`
	// CertFile and KeyFile are what who asks identifies itself by.
	CertFile string `json:"cert_file,omitempty"`
	KeyFile  string `json:"key_file,omitempty"`
	// ServerName is the name that the certificate must have, the host's of the URL if
	// it is "".
	ServerName string `json:"server_name,omitempty"`
	SkipVerify bool   `json:"skip_verify,omitempty"`
}

// Stop is how a daemon is asked to end, and how long it has before it is killed.
type Stop struct {
	Signal       string `json:"signal"`
	GraceSeconds int    `json:"grace_seconds"`
}

// New computes the plan. It is complete even where Findings hold errors, and must
// then only be shown.
func New(loaded *configs.Loaded, facts Facts) *Plan {
	b := newBuilder(loaded, facts)
	p := &Plan{Settings: loaded.Origins, secrets: b.secrets(), daemonEnv: loaded.DaemonEnv}
	for _, daemon := range []func(*builder) Daemon{
		consul, zooKeeper, mesosMaster, marathon, chronos, consulTemplate, haProxy, keepalived, mesosAgent, registrator, dns, tunnel,
	} {
		p.Daemons = append(p.Daemons, daemon(b))
	}
	running := map[string]bool{Docker: true}
	for _, d := range p.Daemons {
		running[d.Name] = d.Run
	}
	for i := range p.Daemons {
		d := &p.Daemons[i]
		var after []string
		for _, name := range d.After {
			if running[name] {
				after = append(after, name)
			}
		}
		d.After = after
	}
	p.Findings = b.findings(p.Daemons)
	for i := range p.Findings {
		p.Findings[i].Message = p.Mask(p.Findings[i].Message)
	}
	return p
}

// Metrics are where the daemons that run and are this program have metrics of their own,
// by the daemon's name.
func (p *Plan) Metrics() map[string]string {
	where := map[string]string{}
	for _, d := range p.Daemons {
		if d.Run && d.Metrics != "" && d.Metrics != "off" {
			where[d.Name] = d.Metrics
		}
	}
	return where
}

// Err joins the findings that are errors; nil if there is none.
func (p *Plan) Err() error { return configs.JoinErrors(p.Findings) }
