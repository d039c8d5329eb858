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

// Parsed is what a client file says.
type Parsed struct {
	Config
	// Hooks are the lines that make wg-quick run something.
	Hooks []string
}

// hookKeys are the keys of wg-quick whose values are commands.
var hookKeys = []string{"PreUp", "PostUp", "PreDown", "PostDown"}

// Parse reads a client file of one tunnel to one gateway. It knows what [Render]
// writes and nothing more: anything else is an error that names the line and never
// what it holds, which may be a secret.
func Parse(text string) (*Parsed, error) {
	r := reader{seen: map[string]bool{}}
	for number, line := range lines(text) {
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
	}
	for _, key := range []string{"PrivateKey", "Address", "PublicKey", "Endpoint", "AllowedIPs"} {
		if !r.seen[key] {
			return nil, fmt.Errorf("there is no %s", key)
		}
	}
	return &r.parsed, nil
}

// lines are numbered from 0. A carriage return ends no line for wg-quick.
func lines(text string) []string { return strings.Split(text, "\n") }

// reader is where a file has been read to.
type reader struct {
	section string
	seen    map[string]bool
	parsed  Parsed
}

func (r *reader) line(line string) error {
	if strings.ContainsFunc(line, func(c rune) bool { return c < ' ' && c != '\t' && c != '\r' || c == 0x7f }) {
		return errors.New("it holds a control character")
	}
	line = strings.TrimSpace(line)
	switch {
	case line == "" || strings.HasPrefix(line, "#"):
		return nil
	case line == "[Interface]" || line == "[Peer]":
		if r.seen[line] {
			return fmt.Errorf("a second %s", line)
		}
		r.seen[line], r.section = true, line
		return nil
	}
	key, value, ok := strings.Cut(line, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if !ok || value == "" || strings.Contains(value, "#") {
		return errors.New("it is neither a section nor KEY = VALUE")
	}
	if r.section == "[Interface]" && slices.Contains(hookKeys, key) {
		r.parsed.Hooks = append(r.parsed.Hooks, key+" = "+value)
		return nil
	}
	if r.seen[key] {
		return fmt.Errorf("a second %s", key)
	}
	r.seen[key] = true
	if err := r.set(key, value); err != nil {
		return fmt.Errorf("%s %w", key, err)
	}
	return nil
}

func (r *reader) set(key, value string) (err error) {
	c := &r.parsed.Config
	switch r.section + key {
	case "[Interface]PrivateKey":
		if value != noKey {
			c.PrivateKey, err = tunnel.ParseSecretKey(value)
		}
	case "[Interface]Address":
		c.Addresses, err = parseList(value, parseHost)
	case "[Interface]MTU":
		c.MTU, err = parseNumber(value, 576)
	case "[Interface]DNS":
		c.DNS, err = parseList(value, netip.ParseAddr)
	case "[Peer]PublicKey":
		c.Gateway, err = tunnel.ParsePublicKey(value)
	case "[Peer]PresharedKey":
		c.PresharedKey, err = tunnel.ParseSecretKey(value)
	case "[Peer]Endpoint":
		c.Endpoint, err = value, tunnel.CheckEndpoint(value)
	case "[Peer]AllowedIPs":
		c.AllowedIPs, err = parseList(value, netip.ParsePrefix)
	case "[Peer]PersistentKeepalive":
		c.Keepalive, err = parseNumber(value, 1)
	default:
		err = errors.New("does not belong here")
	}
	return err
}

func parseList[T any](value string, parse func(string) (T, error)) ([]T, error) {
	var list []T
	for item := range strings.SplitSeq(value, ",") {
		v, err := parse(strings.TrimSpace(item))
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// parseHost reads an address with the length of a network that holds nothing else.
func parseHost(text string) (netip.Addr, error) {
	p, err := netip.ParsePrefix(text)
	if err == nil && !p.IsSingleIP() {
		err = errors.New("is a network, not the address of one peer")
	}
	return p.Addr(), err
}

func parseNumber(text string, least int) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || int(n) < least {
		return 0, fmt.Errorf("is not a number from %d to 65535", least)
	}
	return int(n), nil
}
