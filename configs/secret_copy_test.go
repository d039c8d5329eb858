package configs

import (
	"strings"
	"testing"
)

// A secret is not shown either where it was copied into a setting that is none.
func TestCopiedSecretIsNotShown(t *testing.T) {
	const secret = "b1gs3cr3t-t0k3n"
	dir := writeFiles(t, map[string]string{"host": "CONSUL_HTTP_TOKEN=" + secret + "\nTUNNEL_ENDPOINT=$CONSUL_HTTP_TOKEN\n"})
	loaded, _ := Load(Sources{Dir: dir, DirGiven: true, Host: testHost()})
	if shown := originOf(t, loaded, "TUNNEL_ENDPOINT").Shown(); strings.Contains(shown, secret) || !strings.Contains(shown, Masked) {
		t.Errorf("shown: %q", shown)
	}
}
