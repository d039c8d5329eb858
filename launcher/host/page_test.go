package host

import (
	"testing"

	"panteras/launcher/page"
	"panteras/launcher/plantest"

	"github.com/google/go-cmp/cmp"
)

// The page of status links to user interfaces at the ports that arguments give them, over
// TLS where there is no other way.
func TestPageLinks(t *testing.T) {
	link := func(name, daemon, url string) page.Link { return page.Link{Name: name, URL: url, Daemon: daemon} }
	masters := []page.Link{
		link("Mesos", "mesos-master", "http://10.0.0.5:5050/"), link("Marathon", "marathon", "http://10.0.0.5:8080/"), link("Chronos", "chronos", "http://10.0.0.5:4400/"),
	}
	consulAt := func(url string) []page.Link {
		return append([]page.Link{link("Consul", "consul", url)}, masters...)
	}
	for _, test := range []struct {
		environ []string
		want    []page.Link
	}{
		{[]string{"SLAVE=false"}, consulAt("http://10.0.0.5:8500/ui/")},
		{[]string{"SLAVE=false", "CONSUL_PARAMS=-http-port=9500"}, consulAt("http://10.0.0.5:9500/ui/")},
		{[]string{"SLAVE=false", "CONSUL_HTTP_ADDR=https://10.0.0.5:8501"}, consulAt("http://10.0.0.5:8500/ui/")}, // HAProxy serves that one
		{[]string{"SLAVE=false", "CONSUL_HTTP_ADDR=https://10.0.0.5:8501", "CONSUL_PARAMS=-http-port=-1"}, consulAt("https://10.0.0.5:8501/ui/")},
		{[]string{"SLAVE=false", "CONSUL_HTTP_ADDR=https://node1.example", "CONSUL_PARAMS=-http-port=-1"}, consulAt("https://10.0.0.5:443/ui/")},
		{[]string{"SLAVE=false", "CONSUL_HTTP_ADDR=https://consul.example:8501"}, consulAt("http://10.0.0.5:8500/ui/")},
		{[]string{"MASTER=false", "CONSUL_HOSTS=10.0.0.1", "HAPROXY_STATS_PORT=8181"}, []page.Link{link("HAProxy", "haproxy", "http://10.0.0.5:8181/")}},
	} {
		loaded, plan := plantest.Of(t, "", test.environ...)
		if diff := cmp.Diff(test.want, pageLinks(&loaded.Settings, plan)); diff != "" {
			t.Errorf("%q: links (-want +got):\n%s", test.environ, diff)
		}
	}
}
