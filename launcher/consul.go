package launcher

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"panteras/configs"
)

// The ports that Consul has unless its arguments say otherwise.
const (
	consulHTTP    = 8500
	consulDNS     = 8600
	consulGRPCTLS = 8503
	consulRPC     = 8300
	consulSerfLAN = 8301
	consulSerfWAN = 8302
)

// consulDomain is the domain that Consul answers for beside CONSUL_DOMAIN.
const consulDomain = "consul"

// consul is the Consul agent, server or client.
func consul(b *builder) Daemon {
	params := b.Consul
	key := encryptKey(params.Params)
	if key != "" {
		params.Params = withoutOption(params.Params, "encrypt")
	}
	args := []arg{bareArg("agent")}
	if b.ConsulServer {
		args = append(args, bareArg("-server"))
		args = append(args, b.bootstrap()...)
	}
	args = append(args, joinedArg("-node", b.Hostname), joinedArg("-datacenter", b.ConsulDC), joinedArg("-domain", b.ConsulDomain))
	if b.ConsulDomain != consulDomain {
		args = append(args, joinedArg("-alt-domain", consulDomain))
	}
	args = append(args, joinedArg("-bind", b.consulBind()), joinedArg("-advertise", addrText(b.ConsulIP)), joinedArg("-client", b.consulClient()))
	for _, host := range b.ConsulHosts {
		args = append(args, arg{name: "retry-join", text: []string{"-retry-join=" + host}, repeats: true})
	}
	if b.ConsulServer {
		for _, host := range b.ConsulWANHosts {
			args = append(args, arg{name: "retry-join-wan", text: []string{"-retry-join-wan=" + host}, repeats: true})
		}
	}
	args = append(args, joinedArg("-retry-interval", "5s"), joinedArg("-data-dir", b.state("consul")))
	if b.ConsulServer {
		args = append(args, bareArg("-ui"))
	}
	args = append(args, joinedArg("-dns-port", strconv.Itoa(consulDNS)))
	// It would tell its makers about this host.
	args = append(args, arg{name: "hcl", text: []string{"-hcl=disable_update_check = true"}, repeats: true})
	// consul-template asks for each service on a connection of its own, all the time.
	args = append(args, arg{name: "hcl", text: []string{"-hcl=limits { http_max_conns_per_client = 8192 }"}, repeats: true})
	if b.LogFormat == configs.LogFormatJSON {
		args = append(args, bareArg("-log-json"))
	}
	var files []File
	if key != "" {
		// Everybody on the host can read arguments.
		content, _ := json.Marshal(map[string]string{"encrypt": key})
		file := b.run("consul", "encrypt.json")
		files = append(files, File{Path: file, Mode: "0600", Content: string(content) + "\n"})
		args = append(args, arg{name: "config-file", text: []string{"-config-file=" + file}, repeats: true})
	}
	argv := arguments([]string{"consul"}, args, params)
	api := b.consulAPI(argv)
	d := Daemon{
		Name: "consul", Run: b.StartConsul, Because: b.because("START_CONSUL"),
		User: params.User, NOFile: params.NOFile,
		Argv: argv, Env: b.env(b.state("consul"), nil), Files: files, Probe: b.consulProbe(api), UI: b.consulUI(api),
		Stop: Stop{"SIGTERM", 20}, // it gives itself 15 s to leave
	}
	api.claim(&d, b.ListenIP, argv)
	d.tcp(b.ListenIP, "CONSUL_PARAMS", portOption(argv, "dns-port", consulDNS))
	d.udp(b.ListenIP, "CONSUL_PARAMS", portOption(argv, "dns-port", consulDNS))
	lan := portOption(argv, "serf-lan-port", consulSerfLAN)
	d.tcp(netip.Addr{}, "CONSUL_PARAMS", lan)
	d.udp(netip.Addr{}, "CONSUL_PARAMS", lan)
	d.tcp(netip.Addr{}, "CONSUL_PARAMS", portOption(argv, "server-port", consulRPC))
	if b.ConsulServer {
		wan := portOption(argv, "serf-wan-port", consulSerfWAN)
		d.tcp(netip.Addr{}, "CONSUL_PARAMS", wan, portOption(argv, "grpc-tls-port", consulGRPCTLS))
		d.udp(netip.Addr{}, "CONSUL_PARAMS", wan)
	}
	return d
}

// bootstrap is how many servers a server waits for: as many as are listed. It has no
// effect on a cluster that exists, so it may stay in the settings for good.
func (b *builder) bootstrap() []arg {
	if b.setsBootstrap() || b.looksUpHosts() {
		return nil
	}
	if n := len(b.ConsulHosts); n > 0 {
		return []arg{joinedArg("-bootstrap-expect", strconv.Itoa(n))}
	}
	var args []arg
	for _, word := range b.ConsulBootstrap {
		args = append(args, arg{name: flagName(word), text: []string{word}})
	}
	if n, ok := option(b.ConsulBootstrap, "bootstrap-expect"); ok && len(b.ConsulBootstrap) <= 2 {
		return []arg{joinedArg("-bootstrap-expect", n)} // the same, in the usual form
	}
	return args
}

// setsBootstrap tells that CONSUL_PARAMS say how the first leader is found.
func (b *builder) setsBootstrap() bool {
	return slices.ContainsFunc([]string{"bootstrap-expect", "bootstrap", "dev"}, func(name string) bool {
		_, ok := option(b.Consul.Params, name)
		return ok
	})
}

// looksUpHosts tells that only Consul can find out who the servers are.
func (b *builder) looksUpHosts() bool {
	return slices.ContainsFunc(b.ConsulHosts, func(h string) bool { return strings.Contains(h, "provider=") })
}

// consulBind is the address for the other agents. An address that no interface
// holds, because a cloud translates it, cannot be bound to.
func (b *builder) consulBind() string {
	if b.ListenIP.IsValid() && !b.ListenIP.IsUnspecified() {
		return b.ListenIP.String()
	}
	if b.interfaceOf(b.IP) != "" {
		return b.IP.String()
	}
	if b.IP.Is6() {
		return "::"
	}
	return "0.0.0.0"
}

// consulClient is where API and DNS listen: LISTEN_IP, and where that is one address
// also loopback, for the tools and daemons of this host, and CONSUL_IP, where the
// others look for them.
func (b *builder) consulClient() string {
	if b.ListenIP.IsUnspecified() || !b.ListenIP.IsValid() {
		return addrText(b.ListenIP)
	}
	list := []string{"127.0.0.1"}
	for _, a := range []netip.Addr{b.ListenIP, b.ConsulIP} {
		if a.IsValid() && (a == b.ListenIP || b.interfaceOf(a) != "") && !slices.Contains(list, a.String()) {
			list = append(list, a.String())
		}
	}
	return strings.Join(list, " ")
}

// interfaceOf names the interface that holds an address, "" if none does.
func (b *builder) interfaceOf(a netip.Addr) string {
	for _, i := range b.facts.Host.Interfaces {
		if slices.Contains(i.Addrs, a) {
			return i.Name
		}
	}
	return ""
}

// encryptKey is the gossip key among arguments of Consul.
func encryptKey(words []string) string {
	key, _ := option(words, "encrypt")
	return key
}

// withoutOption drops an option and its value.
func withoutOption(words []string, name string) []string {
	var kept []string
	for i := 0; i < len(words); i++ {
		if flagName(words[i]) != name {
			kept = append(kept, words[i])
			continue
		}
		if !strings.Contains(words[i], "=") && i+1 < len(words) && !strings.HasPrefix(words[i+1], "-") {
			i++
		}
	}
	return kept
}
