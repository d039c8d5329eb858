package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"panteras/configs"
	"panteras/launcher/page"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// askerVariable is for whom this program runs a command of itself.
const askerVariable = "PANTERAS_ASKER"

// commandsOfPage does what the status page wants by running commands of this program:
// what they read of Consul and of gateways never gets into the launcher.
type commandsOfPage struct {
	self string
	env  []string
	cmd  *cobra.Command // `panteras up`, whose settings hold
}

const (
	// commandOutput is how much a command may print, commandsAtOnce how many may run.
	commandOutput = 4 << 20
	commandGrace  = 5 * time.Second
)

var (
	peerGroups = []configs.Group{configs.GroupCommon, configs.GroupTunnel}
	allGroups  = []configs.Group{configs.GroupCommon, configs.GroupTunnel, configs.GroupDaemons}
)

// settings are the flags of `panteras up` that name settings of the groups.
func (c *commandsOfPage) settings(groups []configs.Group) (flags []string) {
	known := map[string]bool{"restricted": true}
	for _, s := range configs.All() {
		known[s.Flag()] = slices.Contains(groups, s.Group)
	}
	c.cmd.Flags().Visit(func(f *pflag.Flag) {
		if known[f.Name] {
			flags = append(flags, "--"+f.Name+"="+f.Value.String())
		}
	})
	return flags
}

// run runs a command, for somebody, and returns what it prints. What it complains about
// is the error.
func (c *commandsOfPage) run(ctx context.Context, by string, groups []configs.Group, command ...string) ([]byte, error) {
	words, rest := command, []string{}
	if i := slices.Index(command, "--"); i >= 0 {
		words, rest = command[:i], command[i:]
	}
	cmd := exec.CommandContext(ctx, c.self, slices.Concat(words, c.settings(groups), rest)...)
	cmd.Env = append(slices.Clone(c.env), askerVariable+"="+by, "LOG_FORMAT="+configs.LogFormatText)
	cmd.WaitDelay = commandGrace
	stdout, stderr := &limited{}, &limited{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("`panteras %s` takes too long: %w", command[0], ctx.Err())
	case err != nil:
		return nil, errors.New(complaint(stderr.text.String(), err))
	case stdout.cut:
		return nil, fmt.Errorf("`panteras %s` prints more than %d MiB", command[0], commandOutput>>20)
	}
	return stdout.text.Bytes(), nil
}

// complaint is the last line of what a command that failed has said.
func complaint(stderr string, err error) string {
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	last := strings.TrimPrefix(strings.TrimPrefix(lines[len(lines)-1], "panteras: "), "error: ")
	if last == "" {
		return err.Error()
	}
	return last
}

// limited keeps the beginning of what is written.
type limited struct {
	text bytes.Buffer
	cut  bool
}

func (l *limited) Write(b []byte) (int, error) {
	keep := min(len(b), commandOutput-l.text.Len())
	l.cut = l.cut || keep < len(b)
	l.text.Write(b[:keep])
	return len(b), nil
}

// explain is `panteras explain`.
func (c *commandsOfPage) explain(ctx context.Context, name string) (string, error) {
	text, err := c.run(ctx, "", allGroups, "explain", "--", name)
	return string(text), err
}

// List is `panteras peer list`.
func (c *commandsOfPage) List(ctx context.Context) ([]page.Peer, error) {
	text, err := c.run(ctx, "", peerGroups, "peer", "list", "--json")
	if err != nil {
		return nil, err
	}
	var list []page.Peer
	return list, decode(text, &list)
}

// Add is `panteras peer add`.
func (c *commandsOfPage) Add(ctx context.Context, by string, r page.PeerRequest) (*page.Issued, error) {
	command := []string{"peer", "add", "--json", "--os=" + r.System}
	if r.Expires != "" {
		command = append(command, "--expires="+r.Expires)
	}
	for _, rule := range strings.Fields(r.Allow) {
		command = append(command, "--allow="+rule)
	}
	if r.PublicKey != "" {
		command = append(command, "--public-key="+r.PublicKey)
	}
	if r.Preshared {
		command = append(command, "--preshared-key")
	}
	text, err := c.run(ctx, by, peerGroups, append(command, "--", r.Name)...)
	if err != nil {
		return nil, err
	}
	issued := &page.Issued{}
	return issued, decode(text, issued)
}

// Disable is `panteras peer disable`.
func (c *commandsOfPage) Disable(ctx context.Context, by, name string) error {
	return c.change(ctx, by, "disable", name)
}

// Enable is `panteras peer enable`.
func (c *commandsOfPage) Enable(ctx context.Context, by, name string) error {
	return c.change(ctx, by, "enable", name)
}

// Remove is `panteras peer remove`.
func (c *commandsOfPage) Remove(ctx context.Context, by, name string) error {
	return c.change(ctx, by, "remove", name)
}

func (c *commandsOfPage) change(ctx context.Context, by, action, name string) error {
	_, err := c.run(ctx, by, peerGroups, "peer", action, "--", name)
	return err
}

func decode(text []byte, value any) error {
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(value); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("what panteras prints cannot be read: %w", err)
	}
	return nil
}
