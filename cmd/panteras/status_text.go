package main

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"panteras/configs/haproxy"
	"panteras/launcher"
	"panteras/launcher/logs"
)

// maxShownFindings is how much the status tells of the balancer; its report has all.
const maxShownFindings = 10

// balancerText tells in short what HAProxy serves, since when, and what it does not and
// why, at the time now.
func balancerText(r *haproxy.Report, now time.Time, width int) string {
	var b strings.Builder
	services, servers := map[string]bool{}, map[string]bool{}
	for _, backend := range r.Backends {
		services[backend.Service] = true
		for _, s := range backend.Servers {
			servers[s.Address] = true
		}
	}
	text := fmt.Sprintf("%d services with %d instances", len(services), len(servers))
	if !r.Applied.IsZero() {
		text += fmt.Sprintf(", applied %s ago", age(now.Sub(r.Applied)))
	}
	if !r.Reloaded.IsZero() {
		text += fmt.Sprintf(", HAProxy reloaded %s ago", age(now.Sub(r.Reloaded)))
	}
	writeFolded(&b, "load balancer: ", text, width)
	if state := r.State(); state != "" {
		writeFolded(&b, "    ", logs.Printable(state), width)
	}
	for _, f := range r.Findings[:min(len(r.Findings), maxShownFindings)] {
		writeFolded(&b, "    ", logs.Printable(f.Service+": "+f.Message), width)
	}
	if more := len(r.Findings) - maxShownFindings; more > 0 {
		fmt.Fprintf(&b, "    and %d more: panteras haproxy report\n", more)
	}
	return b.String()
}

// note says why a daemon is in its state and what comes next.
func note(d launcher.DaemonStatus, now time.Time) string {
	var parts []string
	add := func(text string) {
		// A reason often tells the exit or the daemons waited for already.
		for _, part := range parts {
			if strings.Contains(part, text) {
				return
			}
		}
		parts = append(parts, text)
	}
	if d.State == launcher.StateBackoff && d.RetryAt != nil {
		add(fmt.Sprintf("starts again in %d s", max(0, int(d.RetryAt.Sub(now).Round(time.Second)/time.Second))))
	}
	if d.Reason != "" {
		add(d.Reason)
	}
	if len(d.WaitingFor) > 0 {
		add("waits for " + strings.Join(d.WaitingFor, ", "))
	}
	if d.LastExit != "" && (d.State == launcher.StateBackoff || d.State == launcher.StateFailed || d.Restarts > 0) {
		if !strings.Contains(d.Reason, d.LastExit) {
			add("last exit: " + d.LastExit)
		}
	}
	return logs.Printable(strings.Join(parts, "; "))
}

// age is a time span for people, exact to its greatest units.
func age(d time.Duration) string {
	d = max(0, d)
	switch s := int(d / time.Second); {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%dd%02dh", s/24/3600, s/3600%24)
	}
}

// writeFolded writes a text behind a label, on as many lines as it needs within width.
func writeFolded(b *strings.Builder, label, text string, width int) {
	const least = 20
	indent := utf8.RuneCountInString(label)
	if indent+least > width {
		// There is no room beside the label.
		b.WriteString(clip(strings.TrimRight(label, " "), width) + "\n")
		if text == "" {
			return
		}
		label, indent = "    ", 4
	}
	line := label
	empty := true
	for _, word := range fitting(strings.Fields(text), width-indent) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			b.WriteString(line + "\n")
			line, empty = strings.Repeat(" ", indent), true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}

// fitting cuts words that are longer than a line.
func fitting(words []string, width int) []string {
	var list []string
	for _, word := range words {
		letters := []rune(word)
		for width > 0 && len(letters) > width {
			list, letters = append(list, string(letters[:width])), letters[width:]
		}
		list = append(list, string(letters))
	}
	return list
}

// clip shortens a line to width characters.
func clip(text string, width int) string {
	text = logs.Printable(text)
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(width-1, 0)]) + "…"
}
