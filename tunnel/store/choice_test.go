package store

import (
	"os"
	"strings"
	"testing"

	"panteras/tunnel"
)

func TestTheFirstStoreIsRemembered(t *testing.T) {
	folder := tunnel.NewFolder(t.TempDir())
	if known, err := Remembered(folder); known != "" || err != nil {
		t.Errorf("remembered %q, %v", known, err)
	}
	for _, step := range []struct {
		setting Choice
		given   bool
		want    Choice
	}{
		{InFile, true, InFile},
		{InConsul, false, InFile}, // the default does not count
		{InFile, true, InFile},
		{InConsul, true, ""},
	} {
		got, err := Choose(folder, step.setting, step.given)
		if got != step.want || (err == nil) != (step.want != "") {
			t.Errorf("%+v: %q, %v", step, got, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "panteras peer import --tunnel-store consul FILE") || !strings.Contains(err.Error(), folder.File("store"))) {
			t.Errorf("the error does not help: %v", err)
		}
	}
	if err := Remember(folder, InConsul); err != nil {
		t.Fatal(err)
	}
	if got, err := Choose(folder, InConsul, true); got != InConsul || err != nil {
		t.Errorf("after the move: %q, %v", got, err)
	}
	if err := os.WriteFile(folder.File("store"), []byte("etcd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Choose(folder, InFile, false); err == nil || !strings.Contains(err.Error(), `"etcd"`) {
		t.Errorf("garbage was chosen: %v", err)
	}
}
