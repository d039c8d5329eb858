package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"panteras/configs"
	"panteras/internal/resolv"
	"panteras/launcher"
)

// Where the container finds what it gets from the host.
const (
	restrictedFolder = "/etc/panteras"
	dockerSocket     = "/var/run/docker.sock"
	dockerProgram    = "/usr/local/bin/docker"
)

// Compose is a file for Docker Compose (https://compose-spec.io) with one service that
// runs panteras in the host's network. It publishes no ports: Compose refuses them
// there, and panteras registers its services itself.
func Compose(loaded *configs.Loaded, plan *launcher.Plan, f Facts) string {
	s := &loaded.Settings
	y := &yaml{}
	y.line(0, "# Written by `panteras export compose` for this host.")
	y.line(0, "name: panteras")
	y.line(0, "services:")
	y.line(1, "panteras:")
	y.value(2, "image", s.DockerImage)
	y.line(2, "container_name: panteras")
	y.line(2, "network_mode: host")
	y.value(2, "restart", s.DockerRestart)
	y.line(2, "# Daemons stop one after another; it ends as soon as the last one is gone.")
	y.line(2, "stop_grace_period: %ds", int(Grace(plan).Seconds()))
	command := []string{"panteras", "up"}
	if f.Folder != "" {
		command = append(command, "--restricted", restrictedFolder)
	}
	y.list(2, "entrypoint", command)
	y.environment(loaded)
	y.rights(plan)
	y.line(2, "ulimits:")
	y.line(3, "nofile: %d", noFile(plan))
	y.line(2, "volumes:")
	if f.Folder != "" {
		y.bind(f.Folder, restrictedFolder, readOnly)
	}
	y.bind(s.StateDir, s.StateDir, makeFolder)
	y.bind(s.LogDir, s.LogDir, makeFolder)
	// Whoever may open it is root on the host, so only those get it who cannot do without.
	if runs(plan, "mesos-agent") || runs(plan, "registrator") {
		y.bind(dockerSocket, dockerSocket, "")
	}
	if f.ResolvCopy {
		y.bind(resolv.Copy, resolv.Copy, readOnly)
	}
	if s.HostDocker {
		program := f.Docker
		if program == "" {
			program = dockerProgram
		}
		y.bind(program, dockerProgram, readOnly)
	}
	y.list(2, "tmpfs", []string{s.RunDir + ":mode=755"})
	return y.text.String()
}

// environment are the settings that stand in no file. A secret's value is taken from
// the environment of who starts Compose, and never written.
func (y *yaml) environment(loaded *configs.Loaded) {
	list, secrets := environment(loaded)
	if len(list)+len(secrets) == 0 {
		return
	}
	y.line(2, "environment:")
	for _, v := range list {
		y.value(3, v.name, v.value)
	}
	for _, name := range secrets {
		y.line(3, "%s: # a secret: taken from the environment of `docker compose up`", name)
	}
}

// rights are those of the daemons that run here. Only the Mesos agent, which makes
// containers itself, needs them all.
func (y *yaml) rights(plan *launcher.Plan) {
	if runs(plan, "mesos-agent") {
		y.line(2, "privileged: true # for the Mesos agent")
		return
	}
	capabilities := []string{"NET_BIND_SERVICE", "SYS_RESOURCE"}
	if runs(plan, "tunnel") || runs(plan, "keepalived") {
		capabilities = append(capabilities, "NET_ADMIN", "NET_RAW", "NET_BROADCAST")
	}
	if slices.ContainsFunc(plan.Daemons, func(d launcher.Daemon) bool { return d.Run && d.User != "root" && d.User != "0" }) {
		// By their environment the launcher knows processes again that have left their daemon;
		// without this root may not read that of other users.
		capabilities = append(capabilities, "SYS_PTRACE")
	}
	y.list(2, "cap_add", capabilities)
	if runs(plan, "tunnel") {
		y.list(2, "devices", []string{"/dev/net/tun:/dev/net/tun"})
	}
}

// yaml is a document in the making. Texts are written as JSON, which YAML includes.
type yaml struct{ text strings.Builder }

func (y *yaml) line(depth int, format string, args ...any) {
	y.text.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(&y.text, format, args...)
	y.text.WriteByte('\n')
}

func (y *yaml) value(depth int, key, text string) { y.line(depth, "%s: %s", key, composeText(text)) }

func (y *yaml) list(depth int, key string, texts []string) {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = composeText(text)
	}
	y.line(depth, "%s: [%s]", key, strings.Join(quoted, ", "))
}

// The options of a bind mount.
const (
	readOnly   = "read_only: true"
	makeFolder = "bind: { create_host_path: true }"
)

// bind mounts a folder, a file or a socket of the host.
func (y *yaml) bind(source, target, option string) {
	y.line(3, "- type: bind")
	y.value(4, "source", source)
	y.value(4, "target", target)
	if option != "" {
		y.line(4, "%s", option)
	}
}

// composeText quotes a text for YAML, and for Compose, which replaces $NAME.
func composeText(text string) string {
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(strings.ReplaceAll(text, "$", "$$")) // a text can be encoded
	return strings.TrimSuffix(quoted.String(), "\n")
}
