package test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"panteras/internal/lab"
)

// standIns are the programs that cannot be installed; see package standin.
var standIns = []string{"mesos-master", "marathon", "chronos", "mesos-agent", "registrator"}

// install puts a program where the host's daemons find it.
func (h *upHost) install(t testing.TB, name, from string) {
	t.Helper()
	if err := os.Link(shared(t, from), filepath.Join(h.bin, name)); err != nil {
		t.Fatal(err)
	}
}

// installStandIn puts a stand-in there, with the options that the program knows.
func (h *upHost) installStandIn(t testing.TB, name string) {
	t.Helper()
	h.install(t, name, build(t, "standin", "./test/standin"))
	flags, err := os.ReadFile(filepath.Join(lab.Root(t), "launcher", "testdata", "flags", name+".txt"))
	if err != nil {
		return // it is not one of those whose options are known
	}
	put(t, filepath.Join(h.bin, name+".flags"), string(flags))
}

// misbehave tells a stand-in what to do the next time it starts; see package standin.
func (h *upHost) misbehave(t testing.TB, name string, lines ...string) {
	t.Helper()
	put(t, filepath.Join(h.bin, name+".do"), strings.Join(lines, "\n")+"\n")
}

// remove takes a program away.
func (h *upHost) remove(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(h.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	sharing sync.Mutex
	copies  = map[string]string{}
	builds  = map[string]string{}
)

// programs is the folder, beside what else is temporary, of programs that hosts share.
const programs = "programs"

// shared is a copy of a program on the file system of temporary files, where links to
// it can be made.
func shared(t testing.TB, path string) string {
	t.Helper()
	sharing.Lock()
	defer sharing.Unlock()
	if copied, ok := copies[path]; ok {
		return copied
	}
	to := filepath.Join(os.TempDir(), programs, fmt.Sprintf("%d-%s", len(copies), filepath.Base(path)))
	from, err := os.Open(path)
	if err != nil {
		t.Fatalf("%v: run `make build tools` first", err)
	}
	defer from.Close()
	file, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(file, from); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	copies[path] = to
	return to
}

// build builds a program of this module, once for each name, and returns its path.
func build(t testing.TB, name, folder string, flags ...string) string {
	t.Helper()
	sharing.Lock()
	defer sharing.Unlock()
	if path, ok := builds[name]; ok {
		return path
	}
	path := filepath.Join(os.TempDir(), programs, name)
	cmd := exec.Command("go", append(append([]string{"build", "-trimpath"}, flags...), "-o", path, folder)...)
	cmd.Dir, cmd.Env = lab.Root(t), append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, output)
	}
	builds[name] = path
	return path
}
