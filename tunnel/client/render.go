package client

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"panteras/tunnel"
)

// Files is what a client gets.
type Files struct {
	// Config is for wg-quick and the apps. It holds secrets.
	Config string
	// Script sets up names on systems where the configuration cannot; "" elsewhere.
	Script string
	// ScriptSuffix is how the script's name ends, such as "-dns.sh".
	ScriptSuffix string
}

// noKey stands where a client puts the private key that only it has.
const noKey = "PUT-YOUR-PRIVATE-KEY-HERE"

// Render writes the files of a peer. What it writes it reads again: a file that
// would say anything else than it should is an error.
func Render(system System, peer *tunnel.Peer, gateway *tunnel.GatewayInfo, private, preshared tunnel.SecretKey) (Files, error) {
	// Both may come out of a store that somebody else writes to.
	if err := errors.Join(peer.Check(), gateway.Check()); err != nil {
		return Files{}, err
	}
	config := NewConfig(system, peer, gateway, private, preshared)
	files := Files{}
	var hooks []string
	var notes string
	switch system {
	case Linux:
		hooks = linuxHooks(gateway.DNS, gateway.Domains)
	case MacOS:
		files.Script, files.ScriptSuffix = macScript(gateway.DNS, gateway.Domains), "-dns.sh"
		notes = note("For the platform's names run once, in a terminal:", files.Script)
	case Windows:
		files.Script, files.ScriptSuffix = windowsScript(gateway.DNS, gateway.Domains), "-dns.ps1"
		notes = note("For the platform's names run once, in PowerShell as administrator:", files.Script)
	case Mobile:
	}
	if private.IsZero() {
		notes += "# The private key belongs where " + noKey + " stands.\n"
	}
	files.Config = notes + config.text(hooks)
	again, err := Parse(files.Config)
	if err != nil {
		return Files{}, fmt.Errorf("the client file would be broken: %w", err)
	}
	if !again.Config.equal(&config) || !slices.Equal(again.Hooks, hooks) {
		return Files{}, errors.New("the client file would say something else than it should")
	}
	return files, nil
}

// note is a text as a comment.
func note(title, text string) string {
	var b strings.Builder
	b.WriteString("# " + title + "\n")
	for line := range strings.Lines(text) {
		// A comment of the script needs no second one.
		if !strings.HasPrefix(line, "#") {
			b.WriteString("#   " + line)
		}
	}
	return b.String()
}

// text is the configuration as wg-quick and the apps read it.
func (c *Config) text(hooks []string) string {
	var b strings.Builder
	line := func(key, value string) { b.WriteString(key + " = " + value + "\n") }
	b.WriteString("[Interface]\n")
	if c.PrivateKey.IsZero() {
		line("PrivateKey", noKey)
	} else {
		line("PrivateKey", c.PrivateKey.Reveal())
	}
	line("Address", joined(c.Addresses, func(a netip.Addr) string { return netip.PrefixFrom(a, a.BitLen()).String() }))
	if c.MTU != 0 {
		line("MTU", strconv.Itoa(c.MTU))
	}
	if len(c.DNS) > 0 {
		line("DNS", joined(c.DNS, netip.Addr.String))
	}
	for _, h := range hooks {
		b.WriteString(h + "\n")
	}
	b.WriteString("\n[Peer]\n")
	line("PublicKey", c.Gateway.String())
	if !c.PresharedKey.IsZero() {
		line("PresharedKey", c.PresharedKey.Reveal())
	}
	line("Endpoint", c.Endpoint)
	line("AllowedIPs", joined(c.AllowedIPs, netip.Prefix.String))
	if c.Keepalive != 0 {
		line("PersistentKeepalive", strconv.Itoa(c.Keepalive))
	}
	return b.String()
}

func joined[T any](list []T, text func(T) string) string {
	texts := make([]string, len(list))
	for i, item := range list {
		texts[i] = text(item)
	}
	return strings.Join(texts, ", ")
}
