package test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
	"mvdan.cc/sh/v3/syntax"

	"panteras/configs"
	"panteras/internal/lab"
)

// byHand are the reasons why commands of a page are not run by a test: blocks of the kind
// `sh by-hand=REASON`. They are parsed, and what they ask of panteras and make is looked
// up.
var byHand = map[string]string{
	"tests":    "they run the tests, or take longer than tests may",
	"marathon": "they need Marathon, which cannot be installed here",
	"cluster":  "they need a Kubernetes or a Nomad",
}

// kinds are the kinds of blocks, by what stands behind the fence, and what is checked of
// one. What is of the kind console is typed: see TestCommandsInPages.
var kinds = map[string]func(*testing.T, *program, block){
	"console":                func(t *testing.T, _ *program, b block) { b.commands(t) },
	"console on=laptop":      func(t *testing.T, _ *program, b block) { b.commands(t) },
	"console on=resolved":    func(t *testing.T, _ *program, b block) { b.commands(t) },
	"console on=package":     checkOnPackage,
	"console on=docker":      func(t *testing.T, _ *program, b block) { b.commands(t) }, // see test/image
	"console on=cluster":     checkOnCluster,
	"sh settings":            checkSettings,
	"sh settings on=cluster": checkOnCluster,
	"text synopsis":          checkSynopsis,
	"text":                   checkText,
	"hcl acl":                checkPolicy,
	"json":                   checkJSON,
	"yaml":                   checkYAML,
	"text corefile":          checkOfCoreDNS,
	"hcl nomad":              checkText, // a job of Nomad, which is not here
}

// TestBlocksOfPages looks at every block of every page: one of no known kind, with which
// nothing would be done, is an error.
func TestBlocksOfPages(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	for _, page := range pages(t) {
		for _, b := range page.blocks {
			if reason, ok := strings.CutPrefix(b.info, "sh by-hand="); ok && byHand[reason] != "" {
				checkScript(t, p, b)
				continue
			}
			check := kinds[b.info]
			if check == nil {
				t.Errorf("%s:%d: a block of the kind %q; there are %q and, for a reason in %q, \"sh by-hand=REASON\"", b.page, b.line, b.info, slices.Sorted(maps.Keys(kinds)), slices.Sorted(maps.Keys(byHand)))
				continue
			}
			check(t, p, b)
		}
		// Nor may commands hide in blocks without fences.
		before := ""
		for n, line := range strings.Split(page.prose(), "\n") {
			if strings.HasPrefix(line, "    ") && before == "" {
				t.Errorf("%s:%d: a block without fences, so without a kind", page.name, n+1)
			}
			before = strings.TrimSpace(line)
		}
	}
}

// typedLine is a line of text that somebody might type.
var typedLine = regexp.MustCompile(`^(\w+)?[$#] |^(sudo|bin/|panteras|make|docker|dig|curl|consul|kubectl|nomad|wg|systemctl|resolvectl|apt|apt-get|ssh|scp) `)

// checkText is for what cannot be run or checked; no command may be there.
func checkText(t *testing.T, _ *program, b block) {
	for line := range strings.Lines(b.body) {
		if typedLine.MatchString(line) {
			t.Errorf("%s:%d: %q looks like a command; give the block a kind by which it is run or checked", b.page, b.line, strings.TrimSpace(line))
		}
	}
}

// checkPolicy is for what TestUpWithACLsAndTLS gives to Consul.
func checkPolicy(t *testing.T, _ *program, b block) {
	if b.page != policyPage {
		t.Errorf("%s:%d: rules for Consul's tokens stand in %s, where they are tested", b.page, b.line, policyPage)
	}
}

// checkOnCluster is for what TestOperations does on five hosts.
func checkOnCluster(t *testing.T, _ *program, b block) {
	if b.page != operationsPage {
		t.Errorf("%s:%d: what is typed on a cluster stands in %s, where it is tested", b.page, b.line, operationsPage)
	}
}

// checkOnPackage is for what TestDist types.
func checkOnPackage(t *testing.T, _ *program, b block) {
	if b.commands(t); b.page != readme && b.page != "docs/export.md" {
		t.Errorf("%s:%d: what is typed where a package is installed stands in %s or docs/export.md, where it is tested", b.page, b.line, readme)
	}
}

// checkOfCoreDNS is for what TestCommandsInPages gives to CoreDNS.
func checkOfCoreDNS(t *testing.T, _ *program, b block) {
	if b.page != coreDNSPage {
		t.Errorf("%s:%d: what CoreDNS reads stands in %s, where it is tested", b.page, b.line, coreDNSPage)
	}
}

func checkJSON(t *testing.T, _ *program, b block) {
	if !json.Valid([]byte(b.body)) {
		t.Errorf("%s:%d: this is not JSON", b.page, b.line)
	}
}

func checkYAML(t *testing.T, _ *program, b block) {
	var value any
	if err := yaml.Unmarshal([]byte(b.body), &value); err != nil {
		t.Errorf("%s:%d: %v", b.page, b.line, err)
	}
}

// checkSettings reads a block as a settings file, and makes a plan of it.
func checkSettings(t *testing.T, p *program, b block) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "host"), b.body)
	env := []string{"HOSTNAME=node1"}
	if !regexp.MustCompile(`(?m)^(export )?IP=`).MatchString(b.body) {
		env = append(env, "IP=192.0.2.1")
	}
	for _, command := range []string{"settings", "plan"} {
		cmd := exec.Command(p.path, command, "--restricted", dir)
		cmd.Env = env
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil || command == "settings" && stderr.Len() > 0 {
			t.Errorf("%s:%d: panteras %s: %v\n%s", b.page, b.line, command, err, &stderr)
		}
	}
}

// checkSynopsis looks up each command of a synopsis, a line that goes on with blanks in
// front. Other lines say what is no command.
func checkSynopsis(t *testing.T, p *program, b block) {
	for line := range strings.SplitSeq(regexp.MustCompile(`\n[ \t]+`).ReplaceAllString(b.body, " "), "\n") {
		if strings.HasPrefix(line, "panteras") {
			for _, complaint := range p.form(line) {
				t.Errorf("%s:%d: %s", b.page, b.line, complaint)
			}
		} else {
			checkText(t, p, block{page: b.page, line: b.line, body: line})
		}
	}
}

// checkScript looks up what a script that is not run would ask of our programs.
func checkScript(t *testing.T, p *program, b block) {
	file, err := syntax.NewParser().Parse(strings.NewReader(b.body), "")
	if err != nil {
		t.Errorf("%s:%d: %v", b.page, b.line, err)
		return
	}
	targets := targetsOfMake(t)
	syntax.Walk(file, func(node syntax.Node) bool {
		call, ok := node.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		words := make([]string, len(call.Args))
		for i, w := range call.Args {
			var text strings.Builder
			_ = syntax.NewPrinter().Print(&text, w) // it was just parsed
			words[i] = text.String()
		}
		if words[0] == "sudo" {
			words = words[1:]
		}
		switch path.Base(words[0]) {
		case "panteras":
			for _, complaint := range p.command(words[1:]) {
				t.Errorf("%s:%d: %s", b.page, b.line, complaint)
			}
			for _, a := range call.Assigns {
				if !isSetting(a.Name.Value) {
					t.Errorf("%s:%d: %s is no setting", b.page, b.line, a.Name.Value)
				}
			}
		case "make":
			for _, word := range words[1:] {
				if !strings.Contains(word, "=") && !slices.Contains(targets, word) {
					t.Errorf("%s:%d: make has no target %s", b.page, b.line, word)
				}
			}
		}
		return true
	})
}

func targetsOfMake(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(lab.Root(t), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):.*## `).FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	return names
}

func isSetting(name string) bool {
	return slices.ContainsFunc(configs.All(), func(s configs.Setting) bool { return s.Name == name })
}

var (
	span     = regexp.MustCompile("``([^`]+)``|`([^`]+)`")
	flagText = regexp.MustCompile(`(?:^|[\s\[|(])--([a-z][a-z0-9-]*)`)
	setting  = regexp.MustCompile(`\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b`)
	given    = regexp.MustCompile(`^([A-Z][A-Z0-9_]*)=`)
	mine     = regexp.MustCompile(`^(?:sudo )?(?:[A-Z_]+=\S+ )*(?:bin/)?(panteras(?: .*)?)$`)
)

// othersFlags are of programs that a page's own words are about, and othersNames are
// variables that are not settings.
var (
	othersPrograms = []string{"docker", "dockerd", "dnsmasq", "sshuttle", "openvpn", "consul", "wg", "wg-quick", "resolvectl", "systemctl", "dig", "curl", "go", "make", "haproxy", "nomad", "kubectl", "registrator", "ssh"}
	othersNames    = map[string]string{
		"LISTEN_FDS": "systemd", "SERVICE_NAME": "Registrator", "SERVICE_TAGS": "Registrator", "SERVICE_CHECK_HTTP": "Registrator", "SERVICE_8080_NAME": "Registrator",
		"DNS": "systemd-resolved", "DNSSEC": "systemd-resolved", "NAME": "any name",
		"NET_ADMIN": "Docker", "NET_RAW": "Docker", "NET_BROADCAST": "Docker", "NET_BIND_SERVICE": "Docker", "SYS_RESOURCE": "Docker", "SYS_PTRACE": "Docker",
		"GO_VERSION": "Docker", "HTTP_PROXY": "Docker", "IMAGE_CACHE": "test/image",
		"CAP_NET_ADMIN": "Linux", "CAP_NET_BIND_SERVICE": "Linux", "CAP_NET_RAW": "Linux", "SO_REUSEPORT": "Linux",
	}
)

// TestNamesInPages looks up each flag, setting and command that pages name in their text:
// in `code`, because what is not code is not meant literally.
func TestNamesInPages(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	for _, page := range pages(t) {
		for n, line := range strings.Split(page.prose(), "\n") {
			if page.name == comingFrom && strings.HasPrefix(line, "|") { // the first column is theirs
				if columns := strings.SplitN(line, "|", 3); len(columns) == 3 {
					line = columns[2]
				}
			}
			for _, m := range span.FindAllStringSubmatch(line, -1) {
				for _, complaint := range p.lookUp(m[1] + m[2]) {
					t.Errorf("%s:%d: `%s`: %s", page.name, n+1, m[1]+m[2], complaint)
				}
			}
		}
	}
}

// comingFrom is the page with tables of other programs' flags.
const comingFrom = "docs/coming-from.md"

// theirs are what somebody has who comes from another program, by the heading of its table:
// variables and tags of PanteraS, options that its users have, and what sshuttle and
// supervisord are told.
var theirs = map[string]string{
	"PanteraS": `MASTER SLAVE EDGE START_CONSUL START_DNSMASQ START_FABIO START_NETDATA START_TRAEFIK IP HOST_IP LISTEN_IP CONSUL_IP HOSTNAME FQDN
		PANTERAS_HOSTNAME DOCKER_HOST DOCKER_MACHINE_NAME CONSUL_MODE CONSUL_BOOTSTRAP CONSUL_HOSTS CONSUL_PARAMS CONSUL_DC CONSUL_DOMAIN GOMAXPROCS ZOOKEEPER_HOSTS
		ZOOKEEPER_ID MESOS_MASTER_QUORUM CLUSTER_NAME MESOS_CLUSTER_NAME *_PARAMS *_APP_PARAMS *_JAVA_OPTS DNSMASQ_PARAMS DNSMASQ_APP_PARAMS FABIO_PARAMS
		FABIO_APP_PARAMS HAPROXY_ADD_DOMAIN HAPROXY_SSL HAPROXY_CERT_OPTS KEEPALIVED_VIP DNSMASQ_ADDRESS REGISTER_CONSUL_UI REGISTER_MARATHON REGISTER_MESOS_MASTER
		REGISTER_CHRONOS REGISTRY PANTERAS_IMAGE_TAG PANTERAS_DOCKER_IMAGE PANTERAS_RESTART HOST_DOCKER VOLUME_DOCKER SHARED MASTERS NIC IN_DOMAIN EX_DOMAIN VIP NFS
		REGISTRY_IP CA haproxy webapp haproxy_route= haproxy_tcp= weight= haproxy_weight= haproxy_httpchk= route_domain route_path restricted/env`,
	"dnsmasq": `--server --local --address --rev-server -r --resolv-file --no-resolv --no-poll --host-record --addn-hosts --no-hosts --cname --srv-host --txt-record --mx-host
		--listen-address --interface --except-interface --bind-interfaces --bind-dynamic --port --local-service --edns-packet-max --dns-loop-detect --stop-dns-rebind
		--rebind-domain-ok --rebind-localhost-ok --filter-AAAA --dnssec --query-port --cache-size --neg-ttl --no-negcache --min-cache-ttl --max-ttl --local-ttl
		--dns-forward-max --log-queries --log-facility --dumpfile --all-servers --strict-order --fast-dns-retry --domain-needed --bogus-priv --user -u --group --conf-file
		--conf-dir -7 --no-daemon -d --keep-in-foreground --pid-file --dhcp-range --enable-tftp --ipset --nftset --auth-zone --no-ident`,
	"OpenVPN": `easy-rsa crl-verify remote port proto dev server server-ipv6 push dhcp-option client-config-dir client-to-client ifconfig-push tls-crypt tls-auth keepalive float
		mssfix tun-mtu status management`,
	"sshuttle":    `-r --dns -x -X -s -l --ns-hosts --to-ns --method --disable-ipv6 -e --ssh-cmd --python --user --latency-buffer-size --no-latency-control -D --pidfile --syslog -N -H --seed-hosts`,
	"supervisord": `status start stop restart tail clear fg reread update signal pid avail shutdown reload [program:x] command= environment= autostart= priority= startsecs= startretries= autorestart= exitcodes= stopsignal= stopwaitsecs= killasgroup= user= minfds= directory= umask= numprocs= [group:x] [include] redirect_stderr= stdout_logfile= stdout_logfile_maxbytes= [eventlistener:stdout] [inet_http_server] nodaemon= XML-RPC`,
}

// TestComingFromIsComplete looks for all that is theirs in the first columns of its table,
// and for an answer beside it.
func TestComingFromIsComplete(t *testing.T) {
	t.Parallel()
	sections := strings.Split(readPage(t, comingFrom).text, "\n## ")
	if len(sections) != len(theirs)+1 {
		t.Fatalf("%s has %d tables, want %d", comingFrom, len(sections)-1, len(theirs))
	}
	for _, section := range sections[1:] {
		name, text, _ := strings.Cut(section, "\n")
		var named strings.Builder
		for line := range strings.Lines(text) {
			columns := strings.Split(strings.ReplaceAll(line, `\|`, ""), "|")
			if len(columns) != 4 || strings.HasPrefix(line, "|---") {
				continue
			}
			if strings.TrimSpace(columns[2]) == "" {
				t.Errorf("%s: no answer to %s", comingFrom, columns[1])
			}
			for _, m := range span.FindAllStringSubmatch(columns[1], -1) {
				named.WriteString(" " + m[1] + m[2])
			}
			named.WriteString(" " + columns[1])
		}
		words := regexp.MustCompile("[ `,=;/]+").Split(named.String(), -1)
		for _, word := range strings.Fields(theirs[name]) {
			if !slices.Contains(words, strings.TrimSuffix(word, "=")) && !strings.Contains(word, "/") || strings.Contains(word, "/") && !strings.Contains(named.String(), word) {
				t.Errorf("%s: the table %q does not tell of %s", comingFrom, name, word)
			}
		}
	}
}

// lookUp says what in a piece of code there is not.
func (p *program) lookUp(code string) (complaints []string) {
	if m := mine.FindStringSubmatch(code); m != nil {
		complaints = p.form(m[1])
	} else if first, _, _ := strings.Cut(code, " "); !slices.Contains(othersPrograms, first) {
		for _, m := range flagText.FindAllStringSubmatch(code, -1) {
			if !p.flags[m[1]] {
				complaints = append(complaints, "no command has the flag --"+m[1])
			}
		}
	}
	names := setting.FindAllString(code, -1)
	if m := given.FindStringSubmatch(code); m != nil {
		names = append(names, m[1])
	}
	for _, name := range names {
		if !isSetting(name) && othersNames[name] == "" {
			complaints = append(complaints, name+" is no setting")
		}
	}
	return complaints
}
