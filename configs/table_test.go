package configs

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

func TestTableIsSound(t *testing.T) {
	names, flags := map[string]bool{}, map[string]bool{}
	for _, s := range All() {
		if !regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`).MatchString(s.Name) {
			t.Errorf("%q cannot be assigned in a settings file", s.Name)
		}
		if names[s.Name] {
			t.Errorf("%s has two rows", s.Name)
		}
		names[s.Name] = true
		if f := s.Flag(); flags[f] && f != "" {
			t.Errorf("--%s stands for two settings", f)
		}
		flags[s.Flag()] = true
		if s.Help == "" || s.Kind() == "" {
			t.Errorf("%s lacks its help or kind", s.Name)
		}
		if s.AliasOf != "" {
			target, ok := Lookup(s.AliasOf)
			if !ok || target.AliasOf != "" {
				t.Errorf("%s is an alias of %s, which is not a setting of its own", s.Name, s.AliasOf)
			}
			continue
		}
		if s.value == nil {
			t.Errorf("%s has no value", s.Name)
		}
	}
}

func TestDerivedDefaultsFollowWhatTheyNeed(t *testing.T) {
	// A literal default must be a value; a described one needs a derivation.
	for _, s := range All() {
		if s.AliasOf != "" || s.derive != nil || s.Default == "" {
			continue
		}
		var settings Settings
		if err := s.value.set(&settings, s.Default); err != nil {
			t.Errorf("the default of %s: %v", s.Name, err)
		} else if got := s.value.text(&settings); got != s.Default {
			t.Errorf("the default of %s is documented as %q and reads as %q", s.Name, s.Default, got)
		}
	}
}

func TestFlagNames(t *testing.T) {
	for name, want := range map[string]string{
		"IP": "ip", "DNS_UDP_SIZE": "dns-udp-size", "TUNNEL_CIDR6": "tunnel-cidr6", "CONSUL_HTTP_TOKEN": "",
	} {
		s, ok := Lookup(name)
		if !ok || s.Flag() != want {
			t.Errorf("the flag of %s is %q (known %v), want %q", name, s.Flag(), ok, want)
		}
	}
}

func TestFlagsCarryWhatWasGiven(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	RegisterFlags(flags, GroupCommon, GroupTunnel, GroupDaemons)
	for _, s := range All() {
		if registered := flags.Lookup(flagName(s.Name)) != nil; registered == s.Secret {
			t.Errorf("%s: secret %v, flag registered %v", s.Name, s.Secret, registered)
		}
	}
	if err := flags.Parse([]string{"--dns-port", "5353", "--start-dns", "--dns-routes=", "--dnsmasq-address", " "}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"DNS_PORT": "5353", "START_DNS": "true", "DNS_ROUTES": "", "DNSMASQ_ADDRESS": " "}
	if diff := cmp.Diff(want, ChangedFlags(flags)); diff != "" {
		t.Errorf("ChangedFlags (-want +got):\n%s", diff)
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{
		"CONSUL_DOMIAN": "CONSUL_DOMAIN", "CONSUL_DOMAI": "CONSUL_DOMAIN", "dns_port": "DNS_PORT", "DNSPORT": "DNS_PORT",
		"LISTENIP": "LISTEN_IP", "HAPROXY_ADD_DOMAINS": "HAPROXY_ADD_DOMAIN", "MARATHON_PARAMS": "MARATHON_PARAMS", "FABIO_PARAMS": "", "X": "", "QQ": "",
	} {
		if got := nearest(name); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
