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
