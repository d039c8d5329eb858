package proc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// witness is what a daemon sees of itself.
type witness struct {
	Args, Env    []string
	UID, GID     int
	Groups       []int
	Effective    string // capabilities
	NOFile       [2]uint64
	Descriptors  map[int]string // what they are
	Dir          string
	Umask        int
	Leader       bool              // of its session and group
	Sockets      map[string]string // name: address
	BindsLowPort bool
}

// bearWitness prints it as JSON.
func bearWitness() {
	w := witness{
		Args: os.Args, Env: os.Environ(), UID: os.Getuid(), GID: os.Getgid(), Sockets: map[string]string{}, Descriptors: map[int]string{},
		Umask: unix.Umask(0), Leader: unix.Getpgrp() == os.Getpid(),
	}
	w.Groups, _ = os.Getgroups()
	w.Dir, _ = os.Getwd()
	if sid, err := unix.Getsid(0); err != nil || sid != os.Getpid() {
		w.Leader = false
	}
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if name == "CapEff" {
			w.Effective = strings.TrimSpace(value)
		}
	}
	limits, _ := os.ReadFile("/proc/self/limits") // Go raises the soft limit for itself
	for line := range strings.Lines(string(limits)) {
		if fields := strings.Fields(line); strings.HasPrefix(line, "Max open files") {
			w.NOFile[0], _ = strconv.ParseUint(fields[3], 10, 64)
			w.NOFile[1], _ = strconv.ParseUint(fields[4], 10, 64)
		}
	}
	for fd := range 100 {
		var stat unix.Stat_t
		if unix.Fstat(fd, &stat) == nil {
			// Go has some of its own, for the CPU limit of its control group as well.
			target, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
			if !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/sys/fs/cgroup/") {
				w.Descriptors[fd], _, _ = strings.Cut(target, ":")
			}
		}
	}
	for _, file := range activation.Files(false) {
		if l, err := net.FileListener(file); err == nil {
			w.Sockets[file.Name()] = l.Addr().String()
		}
	}
	w.BindsLowPort = bindsLowPort()
	_ = json.NewEncoder(os.Stdout).Encode(w)
}

// bindsLowPort tries ports until one is free.
func bindsLowPort() bool {
	for port := 1023; port > 900; port-- {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.77", strconv.Itoa(port)))
		if err == nil {
			_ = l.Close()
			return true
		}
		if errors.Is(err, syscall.EACCES) {
			return false
		}
	}
	return false
}

// testify runs a witness and returns what it saw.
func testify(t *testing.T, r *Reaper, spec Spec) witness {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	spec.Self, spec.Stdout = true, in
	p := run(t, r, spec)
	in.Close()
	text, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if exit := await(t, p.Exited(), "the end of the witness"); exit.String() != "exit code 0" {
		t.Fatalf("the witness: %s", exit)
	}
	var w witness
	if err := json.Unmarshal(text, &w); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return w
}

func TestADaemonHasWhatItWasGivenAndNothingElse(t *testing.T) {
	needRoot(t)
	leak, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	if _, err := unix.FcntlInt(leak.Fd(), unix.F_SETFD, 0); err != nil { // as a shell may leave it
		t.Fatal(err)
	}
	t.Setenv("FROM_OUTSIDE", "1")
	var sockets []Listener
	want := map[string]string{}
	for _, name := range []string{"dns", "dns-tcp"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		sockets = append(sockets, Listener{name, file})
		want[name] = l.Addr().String()
	}
	r := newReaper(t)
	w := testify(t, r, Spec{
		Name: "dns", Argv: []string{"panteras", "dns", "--empty", ""}, User: "nobody", NOFile: 12345, Dir: "/usr",
		Env:    map[string]string{"PROC_PLAYS": "witness", "HOME": "/"},
		Caps:   []uintptr{unix.CAP_NET_BIND_SERVICE},
		Listen: sockets,
	})
	env := slices.DeleteFunc(slices.Clone(w.Env), func(entry string) bool {
		pid, isPid := strings.CutPrefix(entry, "LISTEN_PID=")
		return isPid && pid != ""
	})
	slices.Sort(env)
	if diff := cmp.Diff([]string{"HOME=/", "LISTEN_FDNAMES=dns:dns-tcp", "LISTEN_FDS=2", EnvDaemon + "=dns", "PROC_PLAYS=witness"}, env); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, w.Sockets); diff != "" { // only taken when LISTEN_PID is right
		t.Errorf("sockets (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[int]string{0: "/dev/null", 1: "pipe", 2: "/dev/null", 3: "socket", 4: "socket"}, w.Descriptors); diff != "" {
		t.Errorf("descriptors (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"panteras", "dns", "--empty", ""}, w.Args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if w.UID != 65534 || w.GID != 65534 || slices.Contains(w.Groups, 0) {
		t.Errorf("uid %d, gid %d, groups %v, want those of nobody", w.UID, w.GID, w.Groups)
	}
	if w.Effective != "0000000000000400" || !w.BindsLowPort {
		t.Errorf("capabilities %s, can bind a low port: %v; want CAP_NET_BIND_SERVICE alone", w.Effective, w.BindsLowPort)
	}
	if w.NOFile[1] != 12345 {
		t.Errorf("limit on open files: %d", w.NOFile)
	}
	if w.Dir != "/usr" || w.Umask != 0o022 || !w.Leader {
		t.Errorf("folder %s, umask %o, leads its session: %v", w.Dir, w.Umask, w.Leader)
	}
}

func TestADaemonMayHaveMoreFilesThanItsParent(t *testing.T) {
	needRoot(t)
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	r := newReaper(t)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	spec := shell(t.Name(), "ulimit -Sn; ulimit -Hn")
	spec.NOFile, spec.User, spec.Stdout = int(own.Max)+17, "nobody", in
	run(t, r, spec)
	in.Close()
	text, _ := io.ReadAll(out)
	want := strconv.Itoa(int(own.Max) + 17)
	if missing([]uintptr{unix.CAP_SYS_RESOURCE}) != nil { // then it gets as many as there are
		want = strconv.Itoa(int(own.Max))
	}
	if got := strings.Fields(string(text)); !slices.Equal(got, []string{want, want}) {
		t.Errorf("soft and hard limit are %q, want %s", got, want)
	}
}

// nohup(1) ignores SIGHUP, which would leave every daemon below unable to reload.
func TestADaemonIgnoresNoSignalOfItsParents(t *testing.T) {
	r := newReaper(t)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	spec := shell(t.Name(), "grep -E '^Sig(Ign|Blk)' /proc/self/status")
	spec.Stdout = in
	signal.Ignore(syscall.SIGHUP, syscall.SIGTSTP)
	defer signal.Reset(syscall.SIGHUP, syscall.SIGTSTP)
	run(t, r, spec)
	in.Close()
	text, _ := io.ReadAll(out)
	if got := strings.Fields(string(text)); !slices.Equal(got, []string{"SigBlk:", "0000000000000000", "SigIgn:", "0000000000000000"}) {
		t.Errorf("the daemon has %q", got)
	}
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	r := newReaper(t)
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, test := range []struct {
		name   string
		spec   Spec
		absent bool
		want   []string
	}{
		{"not in PATH", Spec{Argv: []string{"no-such-program"}, Env: map[string]string{"PATH": "/bin:relative:/usr/bin"}}, true, []string{"no-such-program", "PATH=/bin:relative:/usr/bin"}},
		{"no PATH", Spec{Argv: []string{"sh"}}, true, []string{"sh is not installed"}},
		{"no such path", Spec{Argv: []string{"/opt/none"}}, true, []string{"/opt/none is not installed"}},
		{"not executable", Spec{Argv: []string{write("plain", "#!/bin/sh\n", 0o644)}}, false, []string{"chmod +x " + dir + "/plain"}},
		{"not executable in PATH", Spec{Argv: []string{"plain"}, Env: map[string]string{"PATH": dir}}, false, []string{"chmod +x " + dir + "/plain"}},
		{"a folder", Spec{Argv: []string{dir}}, false, []string{"folder"}},
		{"no interpreter", Spec{Argv: []string{write("script", "#!/no/interpreter -x\n", 0o755)}}, false, []string{"/no/interpreter", "does not exist"}},
		{"no program", Spec{Argv: []string{write("text", "hello", 0o755)}}, false, []string{"neither a program", "#!"}},
		{"no folder", Spec{Argv: []string{"/bin/true"}, Dir: "/no/folder"}, false, []string{"/no/folder", "no such file"}},
		{"no user", Spec{Argv: []string{"/bin/true"}, User: "no-such-user"}, false, []string{"no user no-such-user", "useradd"}},
		{"nothing to run", Spec{}, false, []string{"no command line"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.spec.Name = "some-daemon"
			_, err := r.Start(test.spec)
			if err == nil {
				t.Fatal("it started")
			}
			if errors.Is(err, ErrAbsent) != test.absent {
				t.Errorf("absent: %v, want %v: %v", !test.absent, test.absent, err)
			}
			for _, want := range append(test.want, "cannot start some-daemon") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in: %v", want, err)
				}
			}
		})
	}
	if dead := zombies(t); len(dead) > 0 {
		t.Errorf("zombies: %v", dead)
	}
}

func TestAUserWhoMayNotExecuteSaysSo(t *testing.T) {
	needRoot(t)
	r := newReaper(t)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := r.Start(Spec{Name: "daemon", Argv: []string{file}, User: "65534"})
	if err == nil || !strings.Contains(err.Error(), "user 65534 may not execute "+file) {
		t.Errorf("error: %v", err)
	}
}

// The shim comes before every daemon, so it must not wait for what the rest of the
// program prepares.
func TestTheShimRunsBeforeTheRestOfTheProgram(t *testing.T) {
	t.Parallel()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Env = []string{"GODEBUG=inittrace=1", "PROC_PLAYS=sender"}
	trace, _ := cmd.CombinedOutput()
	shim, rest := bytes.Index(trace, []byte("init panteras/launcher/proc/shim @")), bytes.Index(trace, []byte("init os @"))
	if shim < 0 || rest < 0 || shim > rest {
		t.Errorf("packages are initialised in this order:\n%s", trace)
	}
}

// A daemon that must be root, because root's files are its own, need not be mighty.
func TestRootHasOnlyTheCapabilitiesThatAreNamed(t *testing.T) {
	needRoot(t)
	w := testify(t, newReaper(t), Spec{
		Name: "tunnel", Argv: []string{"panteras", "gateway"}, User: "root", Env: map[string]string{"PROC_PLAYS": "witness"},
		Caps: []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE},
	})
	if w.UID != 0 || w.Effective != "0000000000001400" {
		t.Errorf("uid %d has the capabilities %s, want CAP_NET_ADMIN and CAP_NET_BIND_SERVICE alone", w.UID, w.Effective)
	}
}
