// Package plantest plans a host for tests of packages that work on plans.
package plantest

import (
	"os"
	"path/filepath"
	"testing"

	"panteras/configs"
	"panteras/launcher"
)

// Of plans the host node1 with the address 10.0.0.5, by more lines of its settings file and an environment. A plan with errors fails the test.
func Of(t testing.TB, file string, environ ...string) (*configs.Loaded, *launcher.Plan) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "host"), []byte("IP=10.0.0.5\nHOSTNAME=node1\n"+file), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := configs.Load(configs.Sources{Dir: dir, DirGiven: true, Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	plan := launcher.New(loaded, launcher.Facts{Self: "/usr/bin/panteras"})
	if err := plan.Err(); err != nil {
		t.Fatal(err)
	}
	return loaded, plan
}
