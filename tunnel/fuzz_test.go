package tunnel

import (
	"regexp"
	"strings"
	"testing"
)

// A name that is accepted means nothing to a shell, a path, a file or a terminal.
func FuzzPeerName(f *testing.F) {
	for _, seed := range []string{"alice-laptop", "", "../x", "a\nPostUp = x", "$(id)", "ä", "-x", strings.Repeat("x", 64)} {
		f.Add(seed)
	}
	harmless := regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?$`)
	f.Fuzz(func(t *testing.T, name string) {
		err := CheckPeerName(name)
		if (err == nil) != harmless.MatchString(name) {
			t.Errorf("%q: %v", name, err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r\x1b\x00") {
			t.Errorf("the error about %q is not one line: %q", name, err)
		}
	})
}

// A rule that is read is written and read the same again, and lies within any bound.
func FuzzRule(f *testing.F) {
	for _, seed := range []string{"10.0.0.0/8", "10.1.2.3:tcp/80,443", "fd00::/64:udp/1-65535", "::/0", "0.0.0.0/0:udp", "tcp", ":tcp/", "1.1.1.1:tcp/2,1,3-9"} {
		f.Add(seed)
	}
	routes := nets("10.1.0.0/16", "fd00::/64")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRule(text)
		if err != nil {
			return
		}
		if again, err := ParseRule(r.String()); err != nil || !again.Equal(r) || r.Check() != nil {
			t.Errorf("%q is read as %s and that as %s, %v", text, r, again, err)
		}
		for i, p := range r.Ports {
			if p.First == 0 || p.First > p.Last || i > 0 && uint32(r.Ports[i-1].Last)+1 >= uint32(p.First) {
				t.Errorf("%q has the ports %v", text, r.Ports)
			}
		}
		for _, b := range Bound([]Rule{r}, routes) {
			if CheckWithin(b, routes) != nil || b.Protocol != r.Protocol {
				t.Errorf("%q is bounded to %s", text, b)
			}
		}
	})
}
