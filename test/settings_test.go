package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"panteras/internal/lab"
)

// settingsIn runs `panteras settings` with the files and returns its exit code and
// output.
func settingsIn(t testing.TB, files map[string]string, env []string, flags ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		put(t, filepath.Join(dir, name), content)
	}
	p := lab.Panteras(t, lab.PanterasOptions{Args: append([]string{"settings", "--restricted=" + dir}, flags...), Env: append(append([]string{}, dnsdEnv...), env...)})
	code = p.Wait(t, patience)
	return code, p.Stdout(), p.Stderr()
}

// Low to high: default, common, host, overwrite, environment, flag. And the server
// does what the list says.
func TestSettingsPrecedence(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	var env, flags []string
	for i, step := range []struct{ origin, value string }{
		{"default", "1232"}, {"common", "1300"}, {"host", "1301"}, {"overwrite", "1302"}, {"environment", "1303"}, {"flag", "1304"},
	} {
		switch step.origin {
		case "default":
		case "environment":
			env = append(env, "DNS_UDP_SIZE="+step.value)
		case "flag":
			flags = append(flags, "--dns-udp-size="+step.value)
		default:
			files[step.origin] = "DNS_UDP_SIZE=" + step.value + "\n"
		}
		code, stdout, stderr := settingsIn(t, files, env, flags...)
		if code != 0 || !regexp.MustCompile(`(?m)^DNS_UDP_SIZE +`+step.value+` .*(`+step.origin+`|--dns-udp-size)`).MatchString(stdout) {
			t.Fatalf("step %d: exit code %d, want %s from %s:\n%s%s", i, code, step.value, step.origin, stdout, stderr)
		}
	}
	dir := t.TempDir()
	for name, content := range files {
		put(t, filepath.Join(dir, name), content)
	}
	d := startDNSD(t, append(flags, "--restricted="+dir)...)
	if size := d.ask(t, "udp", ednsQuery("node-7", dns.TypeA)).IsEdns0().UDPSize(); size != 1304 {
		t.Errorf("the server says it takes %d bytes, want 1304", size)
	}
}

// Settings files are read and never executed: what would run a command is refused,
// with file and line, before anything is opened.
func TestShellConstructsAreRefused(t *testing.T) {
	t.Parallel()
	witness := filepath.Join(t.TempDir(), "ran")
	for what, line := range map[string]string{
		"command substitution": "FQDN=$(touch " + witness + ")", "backquotes": "FQDN=`touch " + witness + "`", "a command": "touch " + witness,
		"a pipe": "FQDN=a | touch " + witness, "a condition": "if true; then FQDN=a; fi", "source": ". /etc/profile",
		"a list": "FQDN=a; touch " + witness, "a redirection": "FQDN=a > " + witness, "a function": "f() { touch " + witness + "; }",
		"process substitution": "FQDN=<(touch " + witness + ")", "and": "FQDN=a && touch " + witness,
	} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "host"), "# a comment\nCONSUL_DOMAIN=consul\n"+line+"\n")
		p := lab.Panteras(t, lab.PanterasOptions{Args: []string{"dns", "--restricted=" + dir, "--dns-port=" + fmt.Sprint(lab.Port(t)), "--metrics-listen=off"}, Env: dnsdEnv})
		if code := p.Wait(t, patience); code != 2 || !strings.Contains(p.Stderr(), filepath.Join(dir, "host")+":3") {
			t.Errorf("%s: exit code %d, want 2 and the file with line 3:\n%s", what, code, p.Stderr())
		}
	}
	if _, err := os.Stat(witness); err == nil {
		t.Error("something was executed")
	}
}

// Secrets are shown nowhere, whether all is well or not.
func TestSecretsAreMasked(t *testing.T) {
	t.Parallel()
	const secret = "b1946ac9-2492-d234-7c62-35d2d9b2a5c1"
	for _, more := range []string{"", "DNS_UDP_SIZE=" + secret + "\n", "CONSUL_DOMAIN=" + secret + "!\n"} {
		files := map[string]string{"host": "CONSUL_HTTP_TOKEN=" + secret + "\n" + more}
		for _, flags := range [][]string{nil, {"--json"}} {
			code, stdout, stderr := settingsIn(t, files, nil, flags...)
			if want := map[bool]int{true: 0, false: 2}[more == ""]; code != want {
				t.Errorf("%q %v: exit code %d, want %d", more, flags, code, want)
			}
			if more != "" { // the list shows the other setting's value as it is: it is no secret by its name
				stdout = strings.ReplaceAll(stdout, strings.Trim(more[strings.Index(more, "=")+1:], "\n"), "")
			}
			if strings.Contains(stdout+stderr, secret) {
				t.Errorf("%q %v: the secret is shown:\n%s%s", more, flags, stdout, stderr)
			}
			if !strings.Contains(stdout, "********") {
				t.Errorf("%q %v: that the secret is set is not shown:\n%s", more, flags, stdout)
			}
			if flags != nil && !json.Valid([]byte(stdout)) {
				t.Errorf("%q: not JSON:\n%s", more, stdout)
			}
		}
	}
	d := startDNSD(t, "--log-level=debug", "--log-queries=on")
	d.ask(t, "udp", ednsQuery("node-7", dns.TypeA))
	p := lab.Panteras(t, lab.PanterasOptions{Args: []string{"dns", "--consul-http-token=" + secret}, Env: dnsdEnv})
	if code := p.Wait(t, patience); code != 2 || strings.Contains(p.Stderr(), secret) || !strings.Contains(p.Stderr(), "CONSUL_HTTP_TOKEN") {
		t.Errorf("exit code %d, want 2 and no secret:\n%s", code, p.Stderr())
	}
}

// LOG_QUERIES=on logs a line for each query, whichever way it is answered.
func TestEachQueryIsLogged(t *testing.T) {
	t.Parallel()
	d := startDNSD(t, to("--dns-upstreams", scripted(t, always(trueAddress))), "--log-queries=on", "--log-format=json")
	for _, network := range []string{"udp", "tcp"} {
		d.ask(t, network, ednsQuery(network+".Example.org", dns.TypeA))
		d.ask(t, network, ednsQuery(network+".invalid", 65280))
		d.ask(t, network, ednsQuery(network+".org", dns.TypeAXFR))
	}
	type line struct{ Msg, Client, Name, Type, Class, Route, Rcode string }
	want := map[line]bool{}
	for _, network := range []string{"udp", "tcp"} {
		want[line{"query", "127.0.0.1", network + ".Example.org.", "A", "IN", "recursor", "NOERROR"}] = true
		want[line{"query", "127.0.0.1", network + ".invalid.", "TYPE65280", "IN", "local", "NXDOMAIN"}] = true
		want[line{"query", "127.0.0.1", network + ".org.", "AXFR", "IN", "local", "REFUSED"}] = true
	}
	logged := func() map[line]bool {
		got := map[line]bool{}
		for text := range strings.Lines(d.Stderr()) {
			var l line
			if json.Unmarshal([]byte(text), &l) == nil && l.Msg == "query" && l.Route != "" {
				got[l] = true
			}
		}
		return got
	}
	lab.Eventually(t, patience, "six lines", func() bool {
		got := logged()
		for l := range want {
			if !got[l] {
				return false
			}
		}
		return true
	})
}

// 1/N logs one query in N, and the default none.
func TestQueriesAreSampled(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]int{"1/10": 10, "off": 0} {
		d := startDNSD(t, "--log-queries="+setting)
		for i := range 100 {
			network := "udp"
			if i%2 == 1 {
				network = "tcp"
			}
			d.ask(t, network, ednsQuery(fmt.Sprintf("n%d.localhost", i), dns.TypeA))
		}
		// Stopping writes what is left to write.
		if code := d.Stop(t); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if n := strings.Count(d.Stderr(), "msg=query "); n < want-1 || n > want+1 { // it counts what others ask too
			t.Errorf("%s: %d lines for 100 queries, want %d", setting, n, want)
		}
	}
}
