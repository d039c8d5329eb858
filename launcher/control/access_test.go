package control

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"panteras/configs"

	"github.com/google/go-cmp/cmp"
)

func TestToken(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, TokenName)
	var wg sync.WaitGroup
	tokens := make([]string, 10)
	for i := range tokens {
		wg.Go(func() {
			var err error
			if tokens[i], err = Token(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, token := range tokens {
		if token != tokens[0] || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(token) {
			t.Errorf("the tokens are %q", tokens)
			break
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("the folder holds %v", names)
	}
	if other, err := Token(filepath.Join(t.TempDir(), TokenName)); err != nil || other == tokens[0] {
		t.Errorf("another host has the same, %v", err)
	}
	for _, test := range []struct {
		name, content string
		mode          fs.FileMode
		want          string
	}{
		{"readable by others", secret, 0o640, "others may know it"},
		{"empty", "", 0o600, "does not hold a token"},
		{"short", "abc\n", 0o600, "does not hold a token"},
		{"of two lines", secret + "\n" + secret, 0o600, "does not hold a token"},
	} {
		bad := filepath.Join(t.TempDir(), TokenName)
		if err := os.WriteFile(bad, []byte(test.content), test.mode); err != nil {
			t.Fatal(err)
		}
		if token, err := Token(bad); token != "" || err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), bad) || strings.Contains(err.Error(), secret) {
			t.Errorf("a file that is %s: %q, %v", test.name, token, err)
		}
	}
	link := filepath.Join(t.TempDir(), TokenName)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if token, err := Token(link); err == nil {
		t.Errorf("a link is followed: %q", token)
	}
}

func TestNames(t *testing.T) {
	s := &configs.Settings{Hostname: "node1", FQDN: "node1.example.com", ConsulDomain: "consul"}
	s.ConsulDC = "dc1"
	want := []string{"node1", "node1.example.com", "node1.node.consul", "node1.node.dc1.consul"}
	if diff := cmp.Diff(want, Names(s)); diff != "" {
		t.Error(diff)
	}
	if got := Names(&configs.Settings{}); len(got) != 0 {
		t.Errorf("without settings: %q", got)
	}
}
