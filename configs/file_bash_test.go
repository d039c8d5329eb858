package configs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bashValues lets bash source a file and prints keys, each value ended by NUL.
func bashValues(t *testing.T, file string, keys []string) map[string]string {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed, so there is nothing to compare with")
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `source "$1"; shift; for key; do printf '%s\0' "${!key}"; done`
	cmd := exec.Command(bash, append([]string{"--noprofile", "--norc", "-c", script, "bash", path}, keys...)...)
	// UTF-8, because bash counts characters where it parses.
	cmd.Env = []string{"FROM_ENV=outside", "LC_ALL=C.UTF-8"}
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("bash refuses %q: %v", file, err)
	}
	parts := strings.Split(string(output), "\x00")
	got := map[string]string{}
	for i, key := range keys {
		got[key] = parts[i]
	}
	return got
}

func TestAcceptedFilesMeanWhatBashReads(t *testing.T) {
	for _, test := range accepted {
		t.Run(test.name, func(t *testing.T) {
			var keys []string
			for key := range test.want {
				keys = append(keys, key)
			}
			sort.Strings(keys)
			if len(keys) == 0 {
				return
			}
			if diff := cmp.Diff(bashValues(t, test.file, keys), test.want); diff != "" {
				t.Errorf("%q (-bash +want):\n%s", test.file, diff)
			}
		})
	}
}

// TestQuotedValuesMeanWhatBashReads writes random values with random quoting, all
// in one file, and compares every one.
func TestQuotedValuesMeanWhatBashReads(t *testing.T) {
	const count = 2000
	random := rand.New(rand.NewPCG(1, 2)) // the same files each time: FuzzFile looks for others
	var file strings.Builder
	var keys []string
	want := map[string]string{}
	for i := range count {
		key := fmt.Sprintf("K%d", i)
		written, value := randomWord(random, i)
		keys = append(keys, key)
		want[key] = value
		if random.IntN(2) == 0 {
			file.WriteString("export ")
		}
		fmt.Fprintf(&file, "%s=%s\n", key, written)
	}
	got, problems := values("host", file.String())
	if len(problems) > 0 {
		t.Fatalf("%v", problems[0])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("as meant (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(bashValues(t, file.String(), keys), got); diff != "" {
		t.Errorf("as bash reads (-bash +got):\n%s", diff)
	}
}

// randomWord writes a word of a few quoted pieces and says what it means. Some
// pieces refer to one of the keys K0 … before it.
func randomWord(random *rand.Rand, before int) (written, value string) {
	const alphabet = "ab:/.,=-_ \t'\"\\$`#&|;<>()*?[]{}~!%^ż\n"
	letters := []rune(alphabet)
	for range random.IntN(4) {
		var piece []rune
		for range random.IntN(8) {
			piece = append(piece, letters[random.IntN(len(letters))])
		}
		text := string(piece)
		value += text
		switch random.IntN(3) {
		case 0:
			written += "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
		case 1:
			written += `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(text) + `"`
		case 2:
			for _, r := range piece {
				// A backslash before a newline joins lines instead.
				if r == '\n' {
					written += "'\n'"
					continue
				}
				written += `\` + string(r)
			}
		}
	}
	if before == 0 && random.IntN(2) == 0 {
		written, value = written+`"$FROM_ENV"`, value+"outside"
	}
	return written, value
}

// TestRandomFilesMeanWhatBashReads strings pieces of shell together. Most results
// are refused; those that are accepted must mean what bash reads. The pieces
// hold nothing that bash could run to any harm.
func TestRandomFilesMeanWhatBashReads(t *testing.T) {
	const wanted = 300
	pieces := []string{
		"K=", "L=", "M=", "a", "b c", " ", "\t", "\n", ";", "'", `"`, `\`, "$K", "${L}", "$", "#", "~", ":", "{a,b}", "{", "}", "*", "?", "[a]",
		"export ", "=", "\\\n", "!", "%", "^", "-", "--", "ż", "\r\n", "$FROM_ENV", "K=1\n", "L='x y'\n", "\"$K\"",
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same files each time: FuzzFile looks for others
	for accepted := 0; accepted < wanted; {
		var file strings.Builder
		file.WriteString("K=0 L=0 M=0\n")
		for range 1 + random.IntN(10) {
			file.WriteString(pieces[random.IntN(len(pieces))])
		}
		got, problems := values("host", file.String())
		if len(problems) > 0 || len(got) != 3 {
			continue
		}
		accepted++
		// bash keeps carriage returns; the reader drops those at line ends.
		plain := string(normalise([]byte(file.String())))
		if diff := cmp.Diff(bashValues(t, plain, []string{"K", "L", "M"}), got); diff != "" {
			t.Errorf("%q (-bash +got):\n%s", plain, diff)
		}
	}
}

// A file may end in a backslash and a newline, with nothing to join.
func TestBackslashAtTheEndOfTheFile(t *testing.T) {
	for _, file := range []string{"K=a\\\n", "K='a\nb'{\\\n", "K=\"a\"\\\n", "K=a\\\\\n", "K=a # b\\\n", "K={\\\n", "K='*-\"\n'{\\\n"} {
		got, problems := values("host", file)
		if len(problems) > 0 {
			t.Fatalf("%q: %v", file, problems)
		}
		if diff := cmp.Diff(bashValues(t, file, []string{"K"}), got); diff != "" {
			t.Errorf("%q (-bash +got):\n%s", file, diff)
		}
	}
}
