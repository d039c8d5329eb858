package configs

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVariablesForDaemons(t *testing.T) {
	dir := writeFiles(t, map[string]string{"env": "# for Java\r\nHTTP_PROXY=http://proxy:3128/?a=b\n\n QUOTED=\"a b\"\nDNS_PORT=$(reboot)\nEMPTY=\n"})
	loaded, err := Load(Sources{Dir: dir, DirGiven: true, Host: testHost()})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"HTTP_PROXY": "http://proxy:3128/?a=b", "QUOTED": "a b", "DNS_PORT": "$(reboot)", "EMPTY": ""}
	if diff := cmp.Diff(want, loaded.DaemonEnv); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestBadVariablesForDaemons(t *testing.T) {
	dir := writeFiles(t, map[string]string{"env": "GOOD=1\nexport s3cret\nb4d-name=s3cret\nNUL=\x00\n"})
	_, err := Load(Sources{Dir: dir, DirGiven: true, Host: testHost()})
	if err == nil {
		t.Fatal("no error")
	}
	for _, piece := range []string{"/env:2: found a line that is not NAME=VALUE", "/env:3: ", "/env:4: found a NUL byte in NUL"} {
		if !strings.Contains(err.Error(), piece) {
			t.Errorf("error lacks %q: %v", piece, err)
		}
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error shows a value: %v", err)
	}
}
