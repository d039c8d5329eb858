package client

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"panteras/tunnel"
)

// runHook runs a hook as wg-quick does, with programs that lie in a folder, in a
// mount namespace whose /etc/resolv.conf holds the text. It returns what the file
// holds afterwards, and what the hook printed.
func runHook(t *testing.T, programs string, hooks ...string) (resolv, output string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs a mount namespace, and so root")
	}
	dir := t.TempDir()
	const original = "nameserver 192.0.2.53\nsearch example.com\n"
	// All of /etc is covered, because the hook keeps a copy there.
	script := `set -e -o pipefail
mount -t tmpfs none /etc
printf '` + strings.ReplaceAll(original, "\n", `\n`) + `' > /etc/resolv.conf
PATH="$1"
shift
for hook in "$@"; do
	hook="${hook//%i/wg-test}"
	(eval "$hook")
done
while IFS= read -r line; do printf '%s\n' "$line"; done < /etc/resolv.conf > ` + dir + `/resolv
`
	cmd := exec.Command("unshare", append([]string{"--mount", "bash", "-c", script, "bash", programs}, hooks...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("wg-quick would take the interface down: %v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "resolv"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text), string(out)
}

// programsWith makes a folder with the usual programs, and scripts beside them.
func programsWith(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"cat", "cp", "rm", "bash"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, script := range scripts {
		_ = os.Remove(filepath.Join(dir, name))
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!"+dir+"/bash\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// hooksOf are the values of PostUp and PreDown.
func hooksOf(t *testing.T) (up, down string) {
	t.Helper()
	files, err := Render(Linux, testPeer(t), testGateway(t), key(t, privateText), tunnel.SecretKey{})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := Parse(files.Config)
	if err != nil || len(parsed.Hooks) != 2 {
		t.Fatal(parsed, err)
	}
	return strings.TrimPrefix(parsed.Hooks[0], "PostUp = "), strings.TrimPrefix(parsed.Hooks[1], "PreDown = ")
}

const resolvUntouched = "nameserver 192.0.2.53\nsearch example.com\n"

func TestHooksTellResolved(t *testing.T) {
	up, down := hooksOf(t)
	programs := programsWith(t, map[string]string{"resolvectl": `echo "resolvectl $*"`, "resolvconf": `echo "resolvconf $*"`})
	resolv, output := runHook(t, programs, up)
	want := "resolvectl dns wg-test 10.99.0.1\nresolvectl domain wg-test ~consul ~apps.example.com\nresolvectl default-route wg-test no\n"
	if output != want || resolv != resolvUntouched {
		t.Errorf("printed %q, resolv.conf %q", output, resolv)
	}
	if _, output = runHook(t, programs, down); !strings.HasPrefix(output, "resolvectl revert wg-test\n") {
		t.Errorf("PreDown printed %q", output)
	}
	// Older versions of resolvectl have no default-route.
	old := programsWith(t, map[string]string{"resolvectl": `[[ $1 != default-route ]] && echo "$1"`, "resolvconf": `echo "resolvconf $*"`})
	if _, output = runHook(t, old, up); output != "dns\ndomain\n" {
		t.Errorf("with an old resolvectl: %q", output)
	}
}

func TestHooksFallBackToResolvconf(t *testing.T) {
	up, _ := hooksOf(t)
	programs := programsWith(t, map[string]string{"resolvectl": `exit 1`, "resolvconf": `echo "resolvconf $*"; cat`})
	resolv, output := runHook(t, programs, up)
	if output != "resolvconf -a wg-test -m 0 -x\nnameserver 10.99.0.1\n" || resolv != resolvUntouched {
		t.Errorf("printed %q, resolv.conf %q", output, resolv)
	}
}

func TestHooksFallBackToTheFile(t *testing.T) {
	up, down := hooksOf(t)
	for name, programs := range map[string]string{
		"nothing is installed": programsWith(t, nil),
		"nothing works":        programsWith(t, map[string]string{"resolvectl": `exit 1`, "resolvconf": `exit 1`}),
	} {
		resolv, _ := runHook(t, programs, up)
		if resolv != "nameserver 10.99.0.1\n"+resolvUntouched {
			t.Errorf("%s: resolv.conf is %q", name, resolv)
		}
		// Up twice, as after a crash, and down once.
		if resolv, _ = runHook(t, programs, up, up, down); resolv != resolvUntouched {
			t.Errorf("%s: after PreDown resolv.conf is %q", name, resolv)
		}
	}
}

func TestHooksNeverFail(t *testing.T) {
	up, down := hooksOf(t)
	programs := programsWith(t, map[string]string{"cp": "exit 1", "rm": "exit 1"})
	if resolv, output := runHook(t, programs, up, down); resolv != resolvUntouched || !strings.Contains(output, "cannot set up DNS: ask 10.99.0.1") {
		t.Errorf("printed %q, resolv.conf %q", output, resolv)
	}
}

// The script for macOS, from its file or from the comments of the client file, run by a shell
// of here with programs that stand for that system's: each domain gets its file, as root.
func TestTheMacScriptMakesAFileForEachDomain(t *testing.T) {
	files, err := Render(MacOS, testPeer(t), testGateway(t), key(t, privateText), tunnel.SecretKey{})
	if err != nil {
		t.Fatal(err)
	}
	var commented strings.Builder
	for line := range strings.Lines(files.Config) {
		if command, ok := strings.CutPrefix(line, "#   "); ok {
			commented.WriteString(command)
		}
	}
	mkdir, err := exec.LookPath("mkdir")
	if err != nil {
		t.Fatal(err)
	}
	for what, script := range map[string]string{"the file": files.Script, "the comments": commented.String()} {
		root := t.TempDir()
		programs := programsWith(t, map[string]string{
			"sudo":  `ROOT=` + root + ` exec "$@"`, // who is not root finds no ROOT
			"mkdir": `[[ $1 == -p && $# == 2 ]] && exec ` + mkdir + ` -p "${ROOT:?}$2"`,
			"tee":   `[[ $# == 1 ]] && cat > "${ROOT:?}$1" && echo what is not to be seen`,
		})
		cmd := exec.Command("/bin/sh", "-e", "-c", script)
		cmd.Env = []string{"PATH=" + programs}
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v, %s", what, err, out)
		}
		for _, domain := range []string{"consul", "apps.example.com"} {
			text, err := os.ReadFile(filepath.Join(root, "etc", "resolver", domain))
			if err != nil || string(text) != "nameserver 10.99.0.1\n" {
				t.Errorf("%s: the file of %s holds %q, %v", what, domain, text, err)
			}
		}
	}
}
