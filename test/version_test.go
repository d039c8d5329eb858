package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"panteras/internal/lab"
)

// TestVersionFromGit has `make build` say what it would build, in a repository of its own.
func TestVersionFromGit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "MAKEFLAGS=", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	text, err := os.ReadFile(filepath.Join(lab.Root(t), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "Makefile"), string(text))
	commit := func() string {
		in("git", "add", "Makefile")
		in("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "--allow-empty", "-m", "a change")
		return in("git", "rev-parse", "--short", "HEAD")
	}
	builds := func(version string) {
		t.Helper()
		wantText(t, "make -n build", in("make", "-n", "build"), "-X main.version="+version+"'")
	}
	builds("unknown")
	in("git", "init", "-q")
	builds(commit())
	in("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "tag", "v1.2.3")
	builds("v1.2.3")
	later := "v1.2.3-1-g" + commit()
	builds(later)
	put(t, filepath.Join(dir, "Makefile"), string(text)+"\n")
	builds(later + "-dirty")
}

// TestDebianVersions are in the order in which Debian has them.
func TestDebianVersions(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(lab.Root(t), "tools", "dist.sh"))
	if err != nil {
		t.Fatal(err)
	}
	_, mapping, _ := strings.Cut(string(text), "\ncase \"$version\" in\n")
	mapping, _, ok := strings.Cut(mapping, "\nesac\n")
	if !ok {
		t.Fatal("tools/dist.sh makes no Debian version of $version")
	}
	before := ""
	for _, test := range []struct{ git, want string }{
		{"abcdef0", "0~git.abcdef0"},
		{"abcdef0-dirty", "0~git.abcdef0.dirty"},
		{"unknown", "0~git.unknown"},
		{"v1.2.3-rc1", "1.2.3~rc1"},
		{"v1.2.3", "1.2.3"},
		{"v1.2.3-4-gabcdef0", "1.2.3+4.gabcdef0"},
		{"v1.2.3-4-gabcdef0-dirty", "1.2.3+4.gabcdef0+dirty"},
		{"v1.2.3-40-gabcdef0", "1.2.3+40.gabcdef0"},
		{"v1.10.0", "1.10.0"},
	} {
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", "case \"$version\" in\n"+mapping+"\nesac\necho \"$debian\"")
		cmd.Env = append(os.Environ(), "version="+test.git)
		out, err := cmd.Output()
		got := strings.TrimSuffix(string(out), "\n")
		if err != nil || got != test.want {
			t.Errorf("%s is %q, %v, want %q", test.git, got, err, test.want)
			continue
		}
		if before != "" {
			if err := exec.Command("dpkg", "--compare-versions", before, "lt", got).Run(); err != nil {
				t.Errorf("for dpkg %s does not come before %s: %v", before, got, err)
			}
		}
		before = got
	}
}
