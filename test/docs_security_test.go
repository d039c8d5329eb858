package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"panteras/launcher"
)

// listed is a row of the table of ports.
type listed struct {
	address string // where it says that something listens
	here    bool   // a daemon that the host of the pages runs
}

// portsOfPage are the rows of the table in the page about security, by "port/protocol".
func portsOfPage(t *testing.T) map[string]listed {
	t.Helper()
	_, rest, ok := strings.Cut(readPage(t, policyPage).text, "<!-- ports:begin -->")
	table, _, ok2 := strings.Cut(rest, "<!-- ports:end -->")
	if !ok || !ok2 {
		t.Fatalf("%s lacks the table of ports", policyPage)
	}
	rows := map[string]listed{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([0-9, ]+) \| ([a-z, ]+) \| ([^|]+) \| ([^|]+) \|`).FindAllStringSubmatch(table, -1) {
		for port := range strings.SplitSeq(m[1], ", ") {
			for protocol := range strings.SplitSeq(m[2], ", ") {
				rows[port+"/"+protocol] = listed{m[4], !regexp.MustCompile(`ZooKeeper|Mesos|Marathon|Chronos`).MatchString(m[3])}
			}
		}
	}
	return rows
}

// at tells whether an address is what the page calls it, on the host of the pages.
func (l listed) at(address string) bool {
	everywhere := slices.Contains([]string{"0.0.0.0", "[::]", "*"}, address)
	switch {
	case strings.HasPrefix(l.address, "`IP`"):
		return address == typedIP
	case strings.HasPrefix(l.address, "`LISTEN_IP`"), strings.HasPrefix(l.address, "every address"):
		return everywhere
	case strings.Contains(l.address, "127.0.0.1"):
		return address == "127.0.0.1"
	}
	return true // as another row, or as settings say
}

// firstEphemeral is where ports begin from which questions are asked, and at which nothing
// waits for others (ip(7)).
const firstEphemeral = 32768

// portsDiffer says how the table of ports differs from a host.
func portsDiffer(t *testing.T, rows map[string]listed, host *typedHost) (complaints []string) {
	t.Helper()
	open := map[string]bool{}
	for line := range strings.Lines(host.run(t, "ss", "-Hlntu")) {
		words := strings.Fields(line)
		address, port, ok := cutLast(words[4], ":")
		if !ok || address == "127.0.0.77" { // the recursor of these tests
			continue
		}
		if n, _ := strconv.Atoi(port); words[0] == "udp" && n >= firstEphemeral && rows[port+"/udp"] == (listed{}) {
			continue
		}
		name := port + "/" + words[0]
		open[name] = true
		if row, ok := rows[name]; !ok {
			complaints = append(complaints, "it does not say what listens at "+name)
		} else if !row.at(address) {
			complaints = append(complaints, fmt.Sprintf("%s is at %s, not at %q", name, address, row.address))
		}
	}
	for name, row := range rows {
		if row.here && !open[name] {
			complaints = append(complaints, "nothing listens at "+name)
		}
	}
	return complaints
}

// securityOfPages compares the tables of ports and of rights with a host, as soon as nothing
// of the pages is left there.
func securityOfPages(t *testing.T, host *typedHost) {
	t.Helper()
	rows := portsOfPage(t)
	complaints := portsDiffer(t, rows, host)
	for deadline := time.Now().Add(patience); len(complaints) > 0 && time.Now().Before(deadline); {
		complaints = portsDiffer(t, rows, host)
	}
	for _, c := range complaints {
		t.Errorf("%s: %s", policyPage, c)
	}

	var status struct{ Daemons []launcher.DaemonStatus }
	if err := json.Unmarshal([]byte(host.run(t, filepath.Join(host.bin, "panteras"), "status", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	text := readPage(t, policyPage).text
	for name, row := range map[string]string{"dns": "DNS server", "tunnel": "gateway"} {
		m := regexp.MustCompile(`(?m)^\| ` + row + ` \| ([^|]+) \| ([^|]+) \|$`).FindStringSubmatch(text)
		i := slices.IndexFunc(status.Daemons, func(d launcher.DaemonStatus) bool { return d.Name == name })
		if m == nil || i < 0 {
			t.Fatalf("%s has no row for the %s, or there is none: %+v", policyPage, row, status)
		}
		root, capabilities := rightsOf(t, status.Daemons[i].Pid)
		if root != strings.HasPrefix(m[1], "root") {
			t.Errorf("the %s is root: %v; %s says %q", row, root, policyPage, m[1])
		}
		var want uint64
		for _, c := range regexp.MustCompile(`CAP_[A-Z_]+`).FindAllString(m[2], -1) {
			bit, ok := map[string]int{"CAP_NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_NET_RAW": unix.CAP_NET_RAW}[c]
			if !ok {
				t.Fatalf("this test does not know %s", c)
			}
			want |= 1 << bit
		}
		if capabilities != want {
			t.Errorf("the %s has the capabilities %x; %s says %q", row, capabilities, policyPage, m[2])
		}
	}
}

// rightsOf tells whether a process is root, and which capabilities it has.
func rightsOf(t *testing.T, pid int) (root bool, capabilities uint64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	uid := regexp.MustCompile(`(?m)^Uid:\s+(\d+)\s+(\d+)`).FindSubmatch(text)
	effective := regexp.MustCompile(`(?m)^CapEff:\s+([0-9a-f]+)$`).FindSubmatch(text)
	if uid == nil || effective == nil {
		t.Fatalf("cannot read the rights of %d:\n%s", pid, text)
	}
	capabilities, err = strconv.ParseUint(string(effective[1]), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return string(uid[2]) == "0", capabilities
}

// cutLast cuts at the last separator.
func cutLast(text, separator string) (before, after string, ok bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}
