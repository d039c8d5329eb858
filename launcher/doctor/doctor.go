// Package doctor finds what keeps panteras from doing its work on a host, and says how
// to mend it. [Collect] looks at the host and changes nothing; [Diagnose] is a pure
// function of what it found.
package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"panteras/configs"
	"panteras/launcher"
)

// Level says how bad a finding is.
type Level string

// The levels of a finding.
const (
	// OK needs nothing to be done.
	OK Level = "ok"
	// Warn may be wrong, or right for a reason that cannot be seen.
	Warn Level = "warn"
	// Fail keeps something that is wanted from working.
	Fail Level = "fail"
)

// Finding is what became of one check.
type Finding struct {
	// Check is a short name, such as "port 53"; one check may find several things.
	Check string `json:"check"`
	Level Level  `json:"level"`
	// Message says what was found.
	Message string `json:"message"`
	// Fix is the command, or the change, that mends it; "" if nothing needs to be.
	Fix string `json:"fix,omitempty"`
}

// Report is everything that was found, in the order of the checks.
type Report struct {
	Findings []Finding `json:"findings"`
}

// Failed tells whether something is wrong for sure.
func (r Report) Failed() bool {
	for _, f := range r.Findings {
		if f.Level == Fail {
			return true
		}
	}
	return false
}

// WriteText writes one line for each finding, and its fix below it.
func (r Report) WriteText(w io.Writer) error {
	width := 0
	for _, f := range r.Findings {
		width = max(width, len(f.Check))
	}
	var text strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&text, "%-4s  %-*s  %s\n", f.Level, width, f.Check, f.Message)
		if f.Fix != "" {
			fmt.Fprintf(&text, "%-4s  %-*s  fix: %s\n", "", width, "", f.Fix)
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// WriteJSON writes {"findings":[{check,level,message,fix}…]}.
func (r Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(r)
}

// Diagnose judges a host by the plan of what it is to run and the facts about it.
func Diagnose(s *configs.Settings, plan *launcher.Plan, f Facts) Report {
	d := &diagnosis{Settings: s, plan: plan, facts: f, findings: []Finding{}}
	d.rights()
	d.settings()
	d.port()
	d.resolvConf()
	d.recursors()
	d.consul()
	d.programs()
	d.docker()
	d.tunnel()
	d.firewall()
	d.selinux()
	d.clock()
	d.folders()
	return Report{Findings: d.findings}
}

// diagnosis is a report in the making.
type diagnosis struct {
	*configs.Settings
	plan     *launcher.Plan
	facts    Facts
	findings []Finding
}

func (d *diagnosis) ok(check, format string, args ...any) {
	d.findings = append(d.findings, Finding{Check: check, Level: OK, Message: fmt.Sprintf(format, args...)})
}

func (d *diagnosis) add(check string, level Level, fix, format string, args ...any) {
	d.findings = append(d.findings, Finding{Check: check, Level: level, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// runs tells whether the plan runs a daemon on this host.
func (d *diagnosis) runs(name string) bool {
	for _, daemon := range d.plan.Daemons {
		if daemon.Name == name {
			return daemon.Run
		}
	}
	return false
}

func (d *diagnosis) rights() {
	if !d.facts.Root {
		d.add("rights", Warn, "run it as root: sudo panteras doctor",
			"without root, owners of ports and rules of the firewall cannot be seen")
	}
}

// settings repeats what is wrong with them, so that one command tells everything.
func (d *diagnosis) settings() {
	const check, fix = "settings", "correct it; `panteras plan` shows what follows from the settings"
	for _, f := range d.plan.Findings {
		level := Warn
		if f.Level == configs.LevelError {
			level = Fail
		}
		d.add(check, level, fix, "%s", f.Message)
	}
	if len(d.plan.Findings) == 0 {
		d.ok(check, "nothing is wrong with them")
	}
}
