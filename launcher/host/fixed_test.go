package host

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"panteras/configs"
)

func TestSettingsThatCannotChange(t *testing.T) {
	var old configs.Settings
	old.RunDir, old.StateDir, old.LogDir = "/run/a", "/var/a", "/log/a"
	if err := fixed(&old, &old); err != nil || late(&old, &old) != nil {
		t.Errorf("nothing differs: %v, %q", err, late(&old, &old))
	}
	next := old
	next.RunDir, next.StateDir = "/run/b", "/var/b"
	err := fixed(&old, &next)
	if err == nil || !strings.Contains(err.Error(), "RUN_DIR is /run/a and cannot become /run/b") || !strings.Contains(err.Error(), "STATE_DIR") {
		t.Errorf("folders differ: %v", err)
	}
	next = old
	next.LogDir, next.LogFormat, next.LogLevel = "/log/b", configs.LogFormatJSON, slog.LevelDebug
	next.StatusListen = netip.MustParseAddrPort("127.0.0.1:9001")
	if got := late(&old, &next); fixed(&old, &next) != nil || !slices.Equal(got, []string{"LOG_DIR", "LOG_FORMAT", "LOG_LEVEL", "STATUS_LISTEN"}) {
		t.Errorf("what is read at start: %q", got)
	}
}

// The settings were changed between the look at them and the new program's start.
func TestASuccessorKeepsTheFoldersOfWhatRuns(t *testing.T) {
	var s configs.Settings
	s.RunDir, s.StateDir = "/run/b", "/var/a"
	left := handOver{RunDir: "/run/a", StateDir: "/var/a"}
	if err := left.keepFolders(&s); err == nil || !strings.Contains(err.Error(), "RUN_DIR is /run/a and cannot become /run/b") || strings.Contains(err.Error(), "STATE_DIR") {
		t.Errorf("another folder: %v", err)
	}
	if s.RunDir != "/run/a" || s.StateDir != "/var/a" {
		t.Errorf("folders %s and %s", s.RunDir, s.StateDir)
	}
	if err := left.keepFolders(&s); err != nil {
		t.Errorf("the same folders: %v", err)
	}
	if err := (&handOver{}).keepFolders(&s); err != nil || s.RunDir != "/run/a" {
		t.Errorf("from a program that does not hand them over: %v, %s", err, s.RunDir)
	}
}
