// Command standin takes the place, in tests of the launcher, of programs that cannot
// be installed any more: it goes by the name that it is called by. It refuses to run
// with arguments or an environment that the program would not expect, or before what the
// program needs answers, and serves what the launcher asks to see whether it is ready.
//
// Beside it lie NAME.flags, the options that the program knows, and NAME.do, which
// tells it to misbehave, a line each:
//
//	exit CODE    ends at once
//	once         does what follows this time only, and only what stands before it later
//	children     leaves a child, one in another session, and one that a parent left
//	alone        does not look for ZooKeeper
//	stubborn     does not mind SIGTERM
//	late         ends a second after SIGTERM, and notes when in the file ended
//	container N  registers the service N in Consul, as Registrator does for a container
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Exit codes.
const (
	exitWrong   = 64 // called as nobody should
	exitTooSoon = 69 // what it needs is not there
)

// Seen is what it leaves in its home folder: how it was called.
type Seen struct {
	Argv  []string
	Env   map[string]string
	UID   int
	Files []string // that were open when it started, beside 0, 1 and 2
}

// paths are what is asked of a program to see whether it is ready, by its name.
var paths = map[string]string{
	"mesos-master": "/master/health", "marathon": "/v2/leader", "chronos": "/ping", "mesos-agent": "/health",
}

// expected is the environment of every daemon, and what some have beside it.
var expected = []string{"HOME", "LANG", "PATH", "PANTERAS_DAEMON"}

var alsoExpected = map[string][]string{
	"marathon": {"JAVA_OPTS"}, "chronos": {"JAVA_OPTS"}, "registrator": {"DOCKER_HOST", "CONSUL_HTTP_TOKEN", "CONSUL_CACERT"},
	"consul-template": {"CONSUL_HTTP_TOKEN", "NOTIFY_SOCKET"},
}

// timeout bounds each question.
const timeout = 2 * time.Second

func main() {
	name := filepath.Base(os.Args[0])
	files := openFiles()
	self, err := os.Executable()
	if err != nil {
		fail(exitWrong, "%v", err)
	}
	dir := filepath.Dir(self)
	alone := misbehave(filepath.Join(dir, name+".do"))
	look(name, files)
	checkFlags(filepath.Join(dir, name+".flags"))
	switch name {
	case "consul-template": // it can be installed, and is only watched
		if leader := get("http://127.0.0.1:8500/v1/status/leader"); !strings.Contains(leader, ":") {
			fail(exitTooSoon, "started before Consul had a leader: %q", leader)
		}
		fail(exitWrong, "%v", syscall.Exec(filepath.Join(dir, "consul-template.real"), os.Args, os.Environ()))
	case "registrator":
		if os.Getenv("DOCKER_HOST") == "" || !strings.HasPrefix(os.Args[len(os.Args)-1], "consul") {
			fail(exitWrong, "registrator needs DOCKER_HOST and Consul's address as its last argument: %q", os.Args)
		}
		stop := make(chan os.Signal, 1) // without one, Go would see a deadlock
		signal.Notify(stop, syscall.SIGTERM)
		<-stop
		return
	case "mesos-master", "marathon", "chronos":
		if !alone {
			checkZooKeeper()
		}
	}
	serve(name)
}

func fail(code int, format string, args ...any) {
	fmt.Fprintf(os.Stderr, "stand-in: "+format+"\n", args...)
	os.Exit(code)
}

// misbehave does what the file says.
func misbehave(path string) (alone bool) {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	before := ""
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 2 && words[0] == "exit":
			code, err := strconv.Atoi(words[1])
			if err != nil {
				fail(exitWrong, "%v", err)
			}
			fail(code, "told to end")
		case slices.Equal(words, []string{"once"}):
			if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
				fail(exitWrong, "%v", err)
			}
		case slices.Equal(words, []string{"alone"}):
			alone = true
		case len(words) == 2 && words[0] == "container":
			register(words[1])
		case slices.Equal(words, []string{"stubborn"}):
			signal.Ignore(syscall.SIGTERM)
		case slices.Equal(words, []string{"late"}):
			go endLate()
		case slices.Equal(words, []string{"children"}):
			if err := exec.Command("sh", "-c", "sleep 1000 & setsid sleep 1000 & (setsid sh -c 'sleep 1000 & sleep 0.1' &) ; exit 0").Run(); err != nil {
				fail(exitWrong, "%v", err)
			}
			if err := exec.Command("sleep", "1000").Start(); err != nil {
				fail(exitWrong, "%v", err)
			}
		default:
			fail(exitWrong, "unknown order %q", words)
		}
		before += lines.Text() + "\n"
	}
	return alone
}

// endLate ends a while after the signal to stop.
func endLate() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	time.Sleep(time.Second)
	now := time.Now().Format(time.RFC3339Nano)
	if err := os.WriteFile(filepath.Join(os.Getenv("HOME"), "ended"), []byte(now), 0o600); err != nil {
		fail(exitWrong, "%v", err)
	}
	os.Exit(0)
}

// openFiles lists the descriptors that this process was given: all but those of Go's
// runtime, which looks into its control group.
func openFiles() []string {
	var list []string
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if n, _ := strconv.Atoi(e.Name()); err == nil && n > 2 && !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/proc/") && !strings.HasPrefix(target, "/sys/fs/cgroup/") {
			list = append(list, e.Name()+" "+target)
		}
	}
	return list
}

// look checks the environment and notes how the program was called.
func look(name string, files []string) {
	seen := Seen{Argv: os.Args, Env: map[string]string{}, UID: os.Getuid(), Files: files}
	for _, e := range os.Environ() {
		key, value, _ := strings.Cut(e, "=")
		if !slices.Contains(expected, key) && !slices.Contains(alsoExpected[name], key) {
			fail(exitWrong, "%s is in the environment", key)
		}
		seen.Env[key] = value
	}
	for _, key := range expected {
		if seen.Env[key] == "" {
			fail(exitWrong, "%s is not in the environment", key)
		}
	}
	if len(files) > 0 {
		fail(exitWrong, "more files are open than should be: %q", files)
	}
	text, err := json.Marshal(seen)
	if err == nil {
		err = os.WriteFile(filepath.Join(seen.Env["HOME"], "seen.json"), text, 0o600)
	}
	if err != nil {
		fail(exitWrong, "%v", err)
	}
}

// checkFlags holds the arguments against the options of the program, if they are known.
func checkFlags(path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	known := strings.Fields(string(text))
	for _, arg := range os.Args[1:] {
		if option, _, _ := strings.Cut(arg, "="); strings.HasPrefix(arg, "-") && !slices.Contains(known, option) {
			fail(exitWrong, "there is no option %s", option)
		}
	}
}

// flag is the value of an option in either form, "" if it was not given.
func flag(name string) string {
	for i, arg := range os.Args {
		if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			return value
		}
		if arg == "--"+name && i+1 < len(os.Args) {
			return os.Args[i+1]
		}
	}
	return ""
}

// checkZooKeeper fails unless a server of the ensemble serves.
func checkZooKeeper() {
	url := flag("zk")
	if url == "" {
		url = flag("master")
	}
	hosts, _, _ := strings.Cut(strings.TrimPrefix(url, "zk://"), "/")
	for host := range strings.SplitSeq(hosts, ",") {
		conn, err := net.DialTimeout("tcp", host, timeout)
		if err != nil {
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(timeout))
		_, _ = conn.Write([]byte("srvr"))
		answer := bufio.NewScanner(conn)
		for answer.Scan() {
			if strings.HasPrefix(answer.Text(), "Mode: ") {
				_ = conn.Close()
				return
			}
		}
		_ = conn.Close()
	}
	fail(exitTooSoon, "started before a server of %s served", url)
}

func get(url string) string {
	client := http.Client{Timeout: timeout}
	response, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	line, _ := bufio.NewReader(response.Body).ReadString('\n')
	return line
}

// register registers a service at the Consul that is the last argument, with the token of the
// environment.
func register(service string) {
	base, overTLS := strings.CutPrefix(os.Args[len(os.Args)-1], "consul-tls://")
	scheme, trust := "http://", &tls.Config{MinVersion: tls.VersionTLS12}
	if overTLS {
		scheme, trust.RootCAs = "https://", x509.NewCertPool()
		authority, err := os.ReadFile(os.Getenv("CONSUL_CACERT"))
		if err != nil || !trust.RootCAs.AppendCertsFromPEM(authority) {
			fail(exitWrong, "no authority in CONSUL_CACERT: %v", err)
		}
	}
	request, err := http.NewRequest(http.MethodPut, scheme+strings.TrimPrefix(base, "consul://")+"/v1/agent/service/register",
		strings.NewReader(fmt.Sprintf(`{"Name": %q, "Port": 80}`, service)))
	if err != nil {
		fail(exitWrong, "%v", err)
	}
	request.Header.Set("X-Consul-Token", os.Getenv("CONSUL_HTTP_TOKEN"))
	client := http.Client{Timeout: timeout, Transport: &http.Transport{TLSClientConfig: trust}}
	response, err := client.Do(request)
	if err != nil {
		fail(1, "%v", err)
	}
	defer response.Body.Close()
	if answer, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		fail(1, "cannot register %s: %s", service, answer)
	}
}

func serve(name string) {
	host, port := flag("ip"), flag("port")
	if port == "" {
		host, port = flag("http_address"), flag("http_port")
	}
	mux := http.NewServeMux()
	mux.HandleFunc(paths[name], func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, name) })
	fmt.Println("stand-in: serving as", name, "on port", port)
	server := &http.Server{Addr: net.JoinHostPort(host, port), Handler: mux, ReadHeaderTimeout: timeout}
	fail(1, "%v", server.ListenAndServe())
}
