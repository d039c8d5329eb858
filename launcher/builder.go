package launcher

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"panteras/configs"
)

// builder is what the daemons are made of.
type builder struct {
	*configs.Settings
	loaded  *configs.Loaded
	facts   Facts
	origins map[string]configs.Origin
}

func newBuilder(loaded *configs.Loaded, facts Facts) *builder {
	b := &builder{Settings: &loaded.Settings, loaded: loaded, facts: facts, origins: map[string]configs.Origin{}}
	for _, o := range loaded.Origins {
		b.origins[o.Name] = o
	}
	return b
}

// because names the setting that decided: the first that was given, or else the last.
func (b *builder) because(names ...string) string {
	name := names[len(names)-1]
	for _, n := range names {
		if b.loaded.Given(n) {
			name = n
			break
		}
	}
	o := b.origins[name]
	if o.Value == "" {
		return fmt.Sprintf("%s is empty (%s)", name, o.Origin)
	}
	return fmt.Sprintf("%s=%s (%s)", name, o.Shown(), o.Origin)
}

// env is the environment of somebody else's program: what an operator gives to all
// daemons, and what this one must have.
func (b *builder) env(home string, more map[string]string) map[string]string {
	env := maps.Clone(b.loaded.DaemonEnv)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, b.ownEnv(home))
	for name, value := range more {
		if value != "" {
			env[name] = value
		}
	}
	return env
}

// ownEnv is what every daemon has, and all that a command of this program has: its
// settings are in a file.
func (b *builder) ownEnv(home string) map[string]string {
	return map[string]string{
		"HOME": home,
		"LANG": "C.UTF-8",
		"PATH": b.searchPath(),
	}
}

// systemPath is where programs are looked for.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// searchPath is where a daemon's program is looked for: where the system has programs,
// and beside this one.
func (b *builder) searchPath() string {
	own := path.Dir(b.facts.Self)
	if !path.IsAbs(own) || slices.Contains(strings.Split(systemPath, ":"), own) {
		return systemPath
	}
	return systemPath + ":" + own
}

// SameEnv tells whether two environments are the same for a daemon that runs. Only where
// this program lies may differ in its PATH: it is another folder after an upgrade from
// there, which is no reason to start daemons anew.
func SameEnv(a, b map[string]string) bool {
	return maps.Equal(withoutOwn(a), withoutOwn(b))
}

func withoutOwn(env map[string]string) map[string]string {
	if path := env["PATH"]; path == systemPath || strings.HasPrefix(path, systemPath+":") {
		env = maps.Clone(env)
		env["PATH"] = systemPath
	}
	return env
}

// state and run are the daemon's folders for what it keeps and for what is made for it.
func (b *builder) state(elements ...string) string {
	return path.Join(append([]string{b.StateDir}, elements...)...)
}

func (b *builder) run(elements ...string) string {
	return path.Join(append([]string{b.RunDir}, elements...)...)
}

// probeAddr is the address at which this host reaches its own daemons that listen
// on LISTEN_IP.
func (b *builder) probeAddr() netip.Addr {
	switch {
	case b.ListenIP == netip.IPv6Unspecified():
		return netip.IPv6Loopback()
	case !b.ListenIP.IsValid() || b.ListenIP.IsUnspecified():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return b.ListenIP
}

func (b *builder) probeHTTP(port uint16, path string) Probe {
	return Probe{Kind: ProbeHTTP, URL: "http://" + netip.AddrPortFrom(b.probeAddr(), port).String() + path}
}

// addrText is an address as an argument; "" when it is not known, which is a
// finding elsewhere.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// zooKeeperURL is the ensemble as Mesos and Marathon take it.
func (b *builder) zooKeeperURL(node string) string {
	return "zk://" + b.zooKeeperList() + "/" + node
}

func (b *builder) zooKeeperList() string {
	texts := make([]string, len(b.ZooKeeperHosts))
	for i, h := range b.ZooKeeperHosts {
		texts[i] = h.String()
	}
	return strings.Join(texts, ",")
}

// shortestSecret is how long a value of the file env must be to be looked for in texts:
// nobody knows which are secret, and "true" is everywhere.
const shortestSecret = 8

// secrets are all values that may not be shown, as they are and as files quote them.
func (b *builder) secrets() []string {
	var list []string
	for _, o := range b.loaded.Origins {
		if o.Secret && o.Value != "" {
			list = append(list, o.Value, configs.QuoteWord(o.Value))
		}
	}
	for _, value := range b.loaded.DaemonEnv {
		if len(value) >= shortestSecret {
			list = append(list, value)
		}
	}
	if key := encryptKey(b.Consul.Params); key != "" {
		list = append(list, key)
	}
	// The longer first: a quoted secret holds the plain one.
	slices.SortFunc(list, func(x, y string) int { return len(y) - len(x) })
	return slices.Compact(list)
}

// Mask hides secrets in a text.
func (p *Plan) Mask(text string) string {
	for _, secret := range p.secrets {
		text = strings.ReplaceAll(text, secret, configs.Masked)
	}
	return text
}

// masked is the daemon as it may be shown.
func (p *Plan) masked(d Daemon) Daemon {
	d.Because, d.User = p.Mask(d.Because), p.Mask(d.User)
	d.Argv = configs.MaskWords(d.Argv)
	for i, arg := range d.Argv {
		d.Argv[i] = p.Mask(arg)
	}
	d.Env = maps.Clone(d.Env)
	for name, value := range d.Env {
		d.Env[name] = p.Mask(value)
		if given, ok := p.daemonEnv[name]; ok && given == value {
			d.Env[name] = configs.Masked // it may be a secret
		}
	}
	d.Files = slices.Clone(d.Files)
	for i := range d.Files {
		d.Files[i].Path, d.Files[i].Content = p.Mask(d.Files[i].Path), p.Mask(d.Files[i].Content)
	}
	return d
}
