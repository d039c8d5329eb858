package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The folder is named in full, because a unit and a container start elsewhere.
func TestExportNamesTheFolder(t *testing.T) {
	for name, want := range map[string]string{"compose": "source: \"%s\"", "systemd": "--restricted %s\n"} {
		got := runIn(t, map[string]string{"host": "CLUSTER_NAME=north\n"}, nil, "export", name)
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		if want = strings.ReplaceAll(want, "%s", filepath.Join(dir, "restricted")); got.code != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("%s: exit code %d, no %q in\n%s%s", name, got.code, want, got.stdout, got.stderr)
		}
		if strings.Contains(got.stdout, "north") {
			t.Errorf("%s repeats what stands in a file:\n%s", name, got.stdout)
		}
	}
}
