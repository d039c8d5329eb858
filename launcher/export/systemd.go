package export

import (
	"fmt"
	"strings"

	"panteras/configs"
	"panteras/launcher"
)

// Systemd is a unit (systemd.service(5)) for `panteras up`.
func Systemd(loaded *configs.Loaded, plan *launcher.Plan, f Facts) string {
	s := &loaded.Settings
	command := []string{f.Self, "up"}
	if f.Folder != "" {
		command = append(command, "--restricted", f.Folder)
	}
	var u strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&u, format+"\n", args...) }
	line("# Written by `panteras export systemd` for this host: /etc/systemd/system/panteras.service")
	line("[Unit]")
	line("Description=panteras: the daemons of this host")
	line("Wants=network-online.target")
	line("After=network-online.target docker.service")
	line("# Restarts have their own measure: daemons that fail do not end the launcher.")
	line("StartLimitIntervalSec=0")
	line("")
	line("[Service]")
	line("# It has started when it runs its plan: daemons may wait for other hosts, and what comes after this unit does not.")
	line("Type=notify")
	line("# The launcher, which says that it is ready, is a child of the main process.")
	line("NotifyAccess=all")
	line("ExecStart=%s", commandLine(command))
	line("ExecReload=/bin/kill -HUP $MAINPID")
	line("Restart=always")
	line("RestartSec=2")
	line("# The main process alone is asked to stop, and stops its daemons in order.")
	line("KillMode=mixed")
	line("TimeoutStopSec=%d", int(Grace(plan).Seconds()))
	line("LimitNOFILE=%d", noFile(plan))
	line("TasksMax=infinity")
	line("# One daemon that runs out of memory must not end the others.")
	line("OOMPolicy=continue")
	line("# Daemons inherit it, and a pipe that is gone is to end those that do not look.")
	line("IgnoreSIGPIPE=no")
	line("Delegate=yes")
	list, secrets := environment(loaded)
	for _, v := range list {
		line("Environment=%s", unitText(v.name+"="+v.value))
	}
	for _, name := range secrets {
		line("# %s was given in the environment and is a secret: put it into a settings file that only root can read.", name)
	}
	hardening(line, s, plan)
	line("")
	line("[Install]")
	line("WantedBy=multi-user.target")
	return u.String()
}

// hardening takes away what no daemon of the host needs. The Mesos agent mounts file
// systems and unpacks images, and must see what the host sees.
func hardening(line func(string, ...any), s *configs.Settings, plan *launcher.Plan) {
	line("LockPersonality=yes")
	if runs(plan, "mesos-agent") {
		return
	}
	line("ProtectKernelLogs=yes")
	line("RestrictSUIDSGID=yes")
	for _, dir := range []string{s.StateDir, s.RunDir, s.LogDir} {
		for _, protected := range []string{"/usr", "/boot", "/efi", "/etc"} {
			if dir == protected || strings.HasPrefix(dir, protected+"/") {
				return
			}
		}
	}
	line("ProtectSystem=full")
}

// commandLine quotes words for ExecStart=, where $ and % mean something.
func commandLine(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		if i > 0 { // the program is never a variable
			word = strings.ReplaceAll(word, "$", "$$")
		}
		quoted[i] = unitText(word)
	}
	return strings.Join(quoted, " ")
}

// unitText quotes a word (systemd.syntax(7)) and keeps % from being a specifier.
func unitText(text string) string {
	plain := true
	var quoted strings.Builder
	for _, r := range []byte(text) {
		switch {
		case r == '"' || r == '\\':
			quoted.WriteString(`\` + string(rune(r)))
		case r == '%':
			quoted.WriteString("%%")
			continue
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&quoted, `\x%02x`, r)
		default:
			quoted.WriteByte(r)
			plain = plain && r != ' ' && r != '\'' && r != ';'
			continue
		}
		plain = false
	}
	if plain && text != "" {
		return quoted.String()
	}
	return `"` + quoted.String() + `"`
}
