package configs

import (
	"strings"
	"testing"
)

func TestFindingsNameTheSetting(t *testing.T) {
	loaded, err := loadFile(t, "IP=$(hostname -i)\nDNS_PORT=0\nHOST_IP=0.0.0.0\nCONSUL_DOMIAN=x\nSTART_DNSMASQ=true\necho hello\n")
	if err == nil {
		t.Fatal("no error")
	}
	want := []struct{ level, setting, piece string }{
		{LevelError, "IP", "host:1: found a command substitution"},
		{LevelError, "", "host:6: found a command"},
		{LevelError, "DNS_PORT", `host:2: DNS_PORT="0" must be a port`},
		{LevelError, "HOST_IP", "is not the address of one host"},
		{LevelWarning, "CONSUL_DOMIAN", "did you mean CONSUL_DOMAIN?"},
		{LevelWarning, "START_DNS", "write START_DNS instead"},
	}
	if len(loaded.Findings) != len(want) {
		t.Fatalf("%d findings, want %d: %+v", len(loaded.Findings), len(want), loaded.Findings)
	}
	for i, w := range want {
		if f := loaded.Findings[i]; f.Level != w.level || f.Setting != w.setting || !strings.Contains(f.Message, w.piece) {
			t.Errorf("finding %d is %+v, want %+v", i, f, w)
		}
	}
}
