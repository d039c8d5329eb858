package configs

import (
	"strings"
	"testing"
)

// TestGoodValues gives each value by the environment; it must be accepted and
// print as shown, and what is printed must read the same.
func TestGoodValues(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, test := range []struct{ name, value, want string }{
		{"IP", "10.0.0.7", "10.0.0.7"},
		{"IP", " 10.0.0.7\t", "10.0.0.7"},
		{"IP", "::ffff:10.0.0.7", "10.0.0.7"},
		{"IP", "fd00::7", "fd00::7"},
		{"HOST_IP", "127.0.0.1", "127.0.0.1"},
		{"LISTEN_IP", "::", "::"},
		{"LISTEN_IP", "fe80::1%eth0", "fe80::1%eth0"},
		{"CONSUL_IP", "127.0.0.1", "127.0.0.1"},
		{"HOSTNAME", "Node_1.example.com.", "Node_1.example.com"},
		{"HOSTNAME", "10.0.0.5", "10.0.0.5"},
		{"HOSTNAME", "fd00::5", "fd00::5"},
		{"FQDN", "node1", "node1"},
		{"CONSUL_DOMAIN", ".Consul.Example.COM.", "consul.example.com"},
		{"CONSUL_DOMAIN", long + "." + long + "." + long + "." + long[:61], long + "." + long + "." + long + "." + long[:61]},
		{"HAPROXY_ADD_DOMAIN", ".my_apps.example", "my_apps.example"},
		{"HAPROXY_ADD_DOMAIN", "notconsul", "notconsul"},
		{"START_DNS", "yes", "true"},
		{"START_DNS", "NO", "false"},
		{"START_DNS", "1", "true"},
		{"START_DNS", "0", "false"},
		{"DNS_PORT", "65535", "65535"},
		{"DNS_LISTEN", "127.0.0.1", "127.0.0.1:53"},
		{"DNS_LISTEN", "127.0.0.1:5353, [::1]:5353 ,::1,[fd00::1],fe80::1%eth0", "127.0.0.1:5353,[::1]:5353,[::1]:53,[fd00::1]:53,[fe80::1%eth0]:53"},
		{"DNS_MODE", "Legacy", "legacy"},
		{"DNS_MODE", "LB", "lb"},
		{"DNS_UPSTREAMS", "1.1.1.1,8.8.8.8:5353 [2001:db8::1]:53,2001:db8::2,fe80::1%eth0,1.1.1.1:53", "1.1.1.1:53,8.8.8.8:5353,[2001:db8::1]:53,[2001:db8::2]:53,[fe80::1%eth0]:53"},
		{"DNS_ROUTES", ".Corp.example.=10.1.1.1 lab=10.1.1.2:54,10.1.1.3", "corp.example=10.1.1.1:53 lab=10.1.1.2:54,10.1.1.3:53"},
		{"DNS_ALLOW", "10.1.2.3/8,192.0.2.7 2001:db8::1/32,::1,::ffff:10.9.0.0/112", "10.0.0.0/8,192.0.2.7/32,2001:db8::/32,::1/128,10.9.0.0/16"},
		{"DNS_ALLOW", "0.0.0.0/0,::/0", "0.0.0.0/0,::/0"},
		{"DNS_UDP_SIZE", "512", "512"},
		{"DNS_UDP_SIZE", "4096", "4096"},
		{"DNS_PTR", "10.0.0.0/24,10.0.1.9", "10.0.0.0/24,10.0.1.9/32"},
		{"METRICS_LISTEN", "OFF", "off"},
		{"METRICS_LISTEN", "", "off"},
		{"METRICS_LISTEN", ":9153", ":9153"},
		{"METRICS_LISTEN", "[::1]:0", "[::1]:0"},
		{"METRICS_LISTEN", "unix:/run/dns/metrics.sock", "unix:/run/dns/metrics.sock"},
		{"LOG_QUERIES", "on", "on"},
		{"LOG_QUERIES", "1/1", "on"},
		{"LOG_QUERIES", "1/1000", "1/1000"},
		{"CONSUL_DNS", "127.0.0.1,127.0.0.2:53", "127.0.0.1:8600,127.0.0.2:53"},
		{"CONSUL_HTTP_ADDR", "consul.example.com:8501", "consul.example.com:8501"},
		{"CONSUL_HTTP_ADDR", "https://10.0.0.5:8501", "https://10.0.0.5:8501"},
		{"CONSUL_HTTP_ADDR", "unix:///run/consul.sock", "unix:///run/consul.sock"},
		{"CONSUL_HTTP_TOKEN_FILE", "/etc/consul token", "/etc/consul token"},
		{"TUNNEL_ENDPOINT", "vpn.example.com", "vpn.example.com"},
		{"TUNNEL_ENDPOINT", "[2001:db8::1]:51820", "[2001:db8::1]:51820"},
		{"TUNNEL_ENDPOINT", "203.0.113.1:51820", "203.0.113.1:51820"},
		{"TUNNEL_CIDR", "10.50.1.1/16", "10.50.0.0/16"},
		{"TUNNEL_CIDR6", "fd12::1/64", "fd12::/64"},
		{"CONSUL_HTTP_SSL", "1", "true"},
		{"CONSUL_HTTP_SSL_VERIFY", "no", "false"},
		{"CONSUL_TLS_SERVER_NAME", "server.dc1.consul", "server.dc1.consul"},
		{"REGISTRY", "registry.example.com:5000/team", "registry.example.com:5000/team/"},
		{"REGISTRY", "registry.example.com/", "registry.example.com/"},
		{"PANTERAS_IMAGE_TAG", "v1.2_x", "v1.2_x"},
		{"PANTERAS_DOCKER_IMAGE", "registry.example.com/panteras:1", "registry.example.com/panteras:1"},
		{"PANTERAS_RESTART", "on-failure:5", "on-failure:5"},
		{"HOST_DOCKER", "true", "true"},
		{"GOMAXPROCS", "4", "4"},
		{"TUNNEL_ROUTES", "10.1.2.3/16, 10.9.9.9", "10.1.0.0/16,10.9.9.9/32"},
		{"TUNNEL_HOST_PORTS", "80, 6000,80", "80,6000"},
		{"TUNNEL_STORE", "File", "file"},
		{"TUNNEL_DATAPATH", "userspace", "userspace"},
		{"TUNNEL_INTERFACE", "wg0", "wg0"},
		{"LOG_LEVEL", "DEBUG", "debug"},
		{"LOG_LEVEL", "warn", "warn"},
		{"LOG_FORMAT", "json", "json"},
	} {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			got := originOf(t, mustLoadEnv(t, test.name+"="+test.value), test.name)
			if got.Value != test.want || got.Origin != "environment" {
				t.Errorf("got %q from %s, want %q from the environment", got.Value, got.Origin, test.want)
			}
			again := originOf(t, mustLoadEnv(t, test.name+"="+got.Value), test.name)
			if again.Value != got.Value {
				t.Errorf("%q reads as %q", got.Value, again.Value)
			}
		})
	}
}

// TestBadValues gives each value by the environment; the error must name the
// place, the setting and the value, and say what is wrong.
func TestBadValues(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, test := range []struct{ name, value, want string }{
		{"IP", "node1", "must be an IP address"},
		{"IP", "10.0.0.300", "must be an IP address"},
		{"LISTEN_IP", "eth0", "must be an IP address"},
		{"HOSTNAME", "a b", "letters, digits"},
		{"HOSTNAME", "-a", "hyphen"},
		{"FQDN", "a..b", "single dots"},
		{"CONSUL_DOMAIN", ".", "not the root"},
		{"CONSUL_DOMAIN", "a..b", "single dots"},
		{"CONSUL_DOMAIN", "..a", "single dots"},
		{"CONSUL_DOMAIN", long + "a.b", "at most 63"},
		{"CONSUL_DOMAIN", long + "." + long + "." + long + "." + long, "at most 253"},
		{"CONSUL_DOMAIN", "a/b", "letters, digits"},
		{"CONSUL_DOMAIN", "żółw", "letters, digits"},
		{"CONSUL_DOMAIN", "10.0.0.1", "not an address"},
		{"HAPROXY_ADD_DOMAIN", "a-.b", "hyphen"},
		{"START_DNS", "on", "true, false, 1, 0, yes or no"},
		{"DNS_PORT", "0", "1 to 65535"},
		{"DNS_PORT", "65536", "1 to 65535"},
		{"DNS_PORT", "-1", "1 to 65535"},
		{"DNS_PORT", "domain", "1 to 65535"},
		{"DNS_LISTEN", "localhost:53", "addresses are needed"},
		{"DNS_LISTEN", "127.0.0.1:0", "1 to 65535"},
		{"DNS_LISTEN", "127.0.0.1,127.0.0.1:53", "twice"},
		{"DNS_LISTEN", "224.0.0.251", "multicast"},
		{"DNS_LISTEN", ",", "must list addresses"},
		{"DNS_LISTEN", "[::1", "addresses are needed"},
		{"DNS_LISTEN", "[::1]x", "addresses are needed"},
		{"DNS_MODE", "proxy", "must be direct, lb or legacy"},
		{"DNS_UPSTREAMS", "dns.example.com", "addresses are needed"},
		{"DNS_UPSTREAMS", "10.0.0.1:dns", "1 to 65535"},
		{"DNS_UPSTREAMS", "0.0.0.0", "not the address of one server"},
		{"DNS_UPSTREAMS", ",", "must list addresses"},
		{"DNS_ROUTES", "corp.example", "without a suffix"},
		{"DNS_ROUTES", "corp=10.0.0.1, 10.0.0.2", "without a suffix"},
		{"DNS_ROUTES", "corp=", "must list addresses"},
		{"DNS_ROUTES", "=10.0.0.1", "not the root"},
		{"DNS_ROUTES", ".=10.0.0.1", "not the root"},
		{"DNS_ROUTES", "a..b=10.0.0.1", "single dots"},
		{"DNS_ROUTES", "corp=ns1", "addresses are needed"},
		{"DNS_ROUTES", "corp=10.0.0.1 Corp.=10.0.0.2", `two routes for "corp"`},
		{"DNS_ALLOW", "10.0.0.0/33", "not a network"},
		{"DNS_ALLOW", "any", "not a network"},
		{"DNS_ALLOW", "fe80::1%eth0", "not a network"},
		{"DNS_ALLOW", "::ffff:0:0/90", "mixes IPv4 and IPv6"},
		{"DNS_UDP_SIZE", "511", "512 to 4096"},
		{"DNS_UDP_SIZE", "4097", "512 to 4096"},
		{"DNS_PTR", "10.0.0/24", "not a network"},
		{"METRICS_LISTEN", "9153", "addr:port"},
		{"METRICS_LISTEN", "unix:metrics.sock", "full path"},
		{"METRICS_LISTEN", "unix:/" + strings.Repeat("x", 107), "at most 107 bytes"},
		{"METRICS_LISTEN", "localhost:9153", "addresses are needed"},
		{"METRICS_LISTEN", "127.0.0.1:http", "0 to 65535"},
		{"LOG_QUERIES", "1/0", "1/1000"},
		{"LOG_QUERIES", "1/-5", "1/1000"},
		{"LOG_QUERIES", "2/3", "1/1000"},
		{"CONSUL_DNS", "consul:8600", "addresses are needed"},
		{"REGISTRY", "https://registry.example.com", "without a scheme"},
		{"PANTERAS_IMAGE_TAG", "a b", "tag of an image"},
		{"PANTERAS_DOCKER_IMAGE", "a\nb: c", "name of an image"},
		{"PANTERAS_RESTART", "sometimes", "unless-stopped"},
		{"GOMAXPROCS", "-1", "0 to 4096"},
		{"CONSUL_HTTP_ADDR", "ftp://x", "unix:///path"},
		{"CONSUL_HTTP_ADDR", "unix://x", "full path"},
		{"CONSUL_HTTP_ADDR", "http://", "unix:///path"},
		{"TUNNEL_ENDPOINT", "a b", "that clients can reach"},
		{"TUNNEL_ENDPOINT", "0.0.0.0", "that clients can reach"},
		{"TUNNEL_ENDPOINT", "vpn.example.com:0", "1 to 65535"},
		{"TUNNEL_CIDR", "fd00::/64", "IPv4 network"},
		{"TUNNEL_CIDR", "10.99.0.0", "IPv4 network"},
		{"TUNNEL_CIDR", "10.99.0.0/32", "room for hosts"},
		{"TUNNEL_CIDR6", "10.99.0.0/16", "IPv6 network"},
		{"TUNNEL_INTERFACE", "wg panteras", "at most 15 letters"},
		{"TUNNEL_INTERFACE", "sixteen-letters-", "at most 15 letters"},
		{"TUNNEL_STORE", "etcd", "consul or file"},
		{"TUNNEL_HOST_PORTS", "80,0", "1 to 65535"},
		{"TUNNEL_HOST_PORTS", ",", "port numbers"},
		{"TUNNEL_ROUTES", "0.0.0.0/0", "which is everything"},
		{"TUNNEL_ROUTES", "169.254.169.254/32", "clouds have their metadata"},
		{"TUNNEL_ROUTES", "fd00:ec2::254/128", "a cloud has its metadata"},
		{"TUNNEL_ROUTES", "127.0.0.0/9", "loopback"},
		{"TUNNEL_ROUTES", "10.99.4.0/24", "the tunnel's own network 10.99.0.0/16"},
		{"LOG_LEVEL", "trace", "debug, info, warn or error"},
		{"LOG_FORMAT", "logfmt", "text or json"},
	} {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			loaded, err := loadEnv(t, test.name+"="+test.value)
			wantError(t, err, "environment: "+test.name+"="+quote(test.value)+" ", test.want)
			if lines := strings.Split(err.Error(), "\n"); len(lines) > 1 {
				t.Errorf("one bad value made %d problems:\n%v", len(lines), err)
			}
			if got := originOf(t, loaded, test.name); got.Value != test.value {
				t.Errorf("beside the error the value is shown as %q", got.Value)
			}
		})
	}
}

func TestSecrets(t *testing.T) {
	const secret = "tok3n-of-consul"
	t.Run("masked", func(t *testing.T) {
		loaded := mustLoadEnv(t, "CONSUL_HTTP_TOKEN="+secret)
		got := originOf(t, loaded, "CONSUL_HTTP_TOKEN")
		if loaded.Settings.ConsulHTTPToken != secret || !got.Secret || got.Shown() != "********" {
			t.Errorf("token %q, secret %v, shown as %q", loaded.Settings.ConsulHTTPToken, got.Secret, got.Shown())
		}
		if shown := originOf(t, mustLoadEnv(t), "CONSUL_HTTP_TOKEN").Shown(); shown != "" {
			t.Errorf("an unset secret is shown as %q", shown)
		}
	})
	t.Run("no flag", func(t *testing.T) {
		loaded, err := Load(Sources{Dir: t.TempDir(), Host: testHost(), Flags: map[string]string{"CONSUL_HTTP_TOKEN": secret}})
		if err != nil || loaded.Settings.ConsulHTTPToken != "" {
			t.Errorf("a flag set the secret to %q (%v)", loaded.Settings.ConsulHTTPToken, err)
		}
		if name, ok := SecretOfFlag("consul-http-token"); name != "CONSUL_HTTP_TOKEN" || !ok {
			t.Errorf("SecretOfFlag = %q, %v", name, ok)
		}
	})
	for name, file := range map[string]string{
		"bad value":                "CONSUL_HTTP_TOKEN='" + secret + " x'",
		"copied into another":      "CONSUL_HTTP_TOKEN=" + secret + "\nDNS_PORT=$CONSUL_HTTP_TOKEN",
		"forgotten quotes":         "CONSUL_HTTP_TOKEN=x " + secret,
		"blank after =":            "CONSUL_HTTP_TOKEN= " + secret,
		"substitution":             "CONSUL_HTTP_TOKEN=$(echo " + secret + ")",
		"unclosed":                 "CONSUL_HTTP_TOKEN='" + secret,
		"arithmetic":               "CONSUL_HTTP_TOKEN=$((1 " + secret + "))",
		"expansion":                "CONSUL_HTTP_TOKEN=${X:" + secret,
		"here-document":            "CONSUL_HTTP_TOKEN=1 <<" + secret,
		"user and password of URL": "CONSUL_HTTP_TOKEN=" + secret + "\nCONSUL_HTTP_ADDR=http://u:$CONSUL_HTTP_TOKEN@h:1",
	} {
		t.Run(name, func(t *testing.T) {
			loaded, err := loadFile(t, file)
			if err == nil {
				t.Fatal("no error")
			}
			if text := err.Error() + strings.Join(loaded.Warnings(), "\n"); strings.Contains(text, secret) {
				t.Errorf("the secret is in:\n%s", text)
			}
		})
	}
	t.Run("bad and too short to be cut out", func(t *testing.T) {
		_, err := loadEnv(t, "CONSUL_HTTP_TOKEN=q z")
		wantError(t, err, "environment: CONSUL_HTTP_TOKEN (a secret, not shown) must be printable ASCII without blanks")
		if strings.Contains(err.Error(), "q z") {
			t.Errorf("the secret is in:\n%v", err)
		}
	})
	t.Run("password in a URL", func(t *testing.T) {
		loaded, err := loadEnv(t, "CONSUL_HTTP_ADDR=https://user:"+secret+"@10.0.0.5:8500")
		wantError(t, err, "must not hold a user name or password", "//********@10.0.0.5:8500")
		if text := err.Error() + originOf(t, loaded, "CONSUL_HTTP_ADDR").Shown(); strings.Contains(text, secret) {
			t.Errorf("the password is in:\n%s", text)
		}
	})
	t.Run("both ways", func(t *testing.T) {
		loaded := mustLoadEnv(t, "CONSUL_HTTP_TOKEN="+secret, "CONSUL_HTTP_TOKEN_FILE=/x")
		if len(loaded.Warnings()) != 1 || !strings.Contains(loaded.Warnings()[0], "CONSUL_HTTP_TOKEN_FILE (environment) beats it") {
			t.Errorf("warnings %q", loaded.Warnings())
		}
	})
}
