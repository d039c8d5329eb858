package export

import (
	"slices"
	"testing"

	"panteras/launcher/plantest"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// parse reads a file as Compose does, with the environment of who starts it.
func parse(t *testing.T, text string, environ types.Mapping) types.ServiceConfig {
	t.Helper()
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  t.TempDir(),
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: []byte(text)}},
		Environment: environ,
	}, func(o *loader.Options) { o.SetProjectName("panteras", true) })
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	service, err := project.GetService("panteras")
	if err != nil {
		t.Fatal(err)
	}
	return service
}

// mounts lists source:target of volumes, with :ro where they are read-only.
func mounts(s types.ServiceConfig) []string {
	var list []string
	for _, v := range s.Volumes {
		text := v.Source + ":" + v.Target
		if v.ReadOnly {
			text += ":ro"
		}
		list = append(list, v.Type+" "+text)
	}
	return list
}

func TestCompose(t *testing.T) {
	loaded, plan := plantest.Of(t, "REGISTRY=registry.example.com:5000\nPANTERAS_IMAGE_TAG=v2\nPANTERAS_RESTART=unless-stopped\nHOST_DOCKER=true\nSTATE_DIR='/srv/state$X'\n",
		"CLUSTER_NAME="+nasty, "CONSUL_HTTP_TOKEN=t0ken", "GOMAXPROCS=3")
	text := Compose(loaded, plan, Facts{Folder: "/root/restricted $1", ResolvCopy: true, Docker: "/usr/bin/docker"})
	s := parse(t, text, types.Mapping{"CONSUL_HTTP_TOKEN": "of-the-shell", "HOME": "/root", "X": "x"})

	if s.Image != "registry.example.com:5000/panteras:v2" || s.Restart != "unless-stopped" || s.NetworkMode != "host" || s.ContainerName != "panteras" {
		t.Errorf("image %q, restart %q, network %q, name %q", s.Image, s.Restart, s.NetworkMode, s.ContainerName)
	}
	if len(s.Ports)+len(s.Expose) > 0 {
		t.Errorf("it publishes ports: %v %v", s.Ports, s.Expose)
	}
	if s.StopGracePeriod == nil || int(*s.StopGracePeriod) != int(Grace(plan)) {
		t.Errorf("grace %v, want %v", s.StopGracePeriod, Grace(plan))
	}
	if want := []string{"panteras", "up", "--restricted", "/etc/panteras"}; !slices.Equal(s.Entrypoint, want) {
		t.Errorf("entrypoint %q, want %q", s.Entrypoint, want)
	}
	for name, want := range map[string]string{"CLUSTER_NAME": nasty, "CONSUL_HTTP_TOKEN": "of-the-shell", "GOMAXPROCS": "3"} {
		if got := s.Environment[name]; got == nil || *got != want {
			t.Errorf("%s is %v, want %q", name, got, want)
		}
	}
	if len(s.Environment) != 3 {
		t.Errorf("environment %v", s.Environment)
	}
	want := []string{
		"bind /root/restricted $1:/etc/panteras:ro", "bind /srv/state$X:/srv/state$X", "bind /var/log/panteras:/var/log/panteras",
		"bind /var/run/docker.sock:/var/run/docker.sock", "bind /etc/resolv.conf.orig:/etc/resolv.conf.orig:ro",
		"bind /usr/bin/docker:/usr/local/bin/docker:ro",
	}
	if got := mounts(s); !slices.Equal(got, want) {
		t.Errorf("volumes\n%q, want\n%q", got, want)
	}
	if !slices.Equal(s.Tmpfs, []string{"/run/panteras:mode=755"}) || s.Ulimits["nofile"].Single != 65536 {
		t.Errorf("tmpfs %q, ulimits %v", s.Tmpfs, s.Ulimits["nofile"])
	}
	if !s.Privileged {
		t.Error("the Mesos agent needs all rights")
	}
}

func TestComposeByDefault(t *testing.T) {
	loaded, plan := plantest.Of(t, "")
	s := parse(t, Compose(loaded, plan, Facts{}), nil)
	if s.Image != "panteras:latest" || s.Restart != "always" || len(s.Environment) > 0 || !slices.Equal(s.Entrypoint, []string{"panteras", "up"}) {
		t.Errorf("image %q, restart %q, environment %v, entrypoint %q", s.Image, s.Restart, s.Environment, s.Entrypoint)
	}
	want := []string{"bind /var/lib/panteras:/var/lib/panteras", "bind /var/log/panteras:/var/log/panteras", "bind /var/run/docker.sock:/var/run/docker.sock"}
	if got := mounts(s); !slices.Equal(got, want) {
		t.Errorf("volumes %q", got)
	}
	for _, v := range s.Volumes[:2] {
		if v.Bind == nil || !bool(v.Bind.CreateHostPath) {
			t.Errorf("%s is not made", v.Source)
		}
	}
	loaded, plan = plantest.Of(t, "PANTERAS_DOCKER_IMAGE=mine:3\nHOST_DOCKER=true\n")
	s = parse(t, Compose(loaded, plan, Facts{}), nil)
	if got := mounts(s); s.Image != "mine:3" || !slices.Contains(got, "bind /usr/local/bin/docker:/usr/local/bin/docker:ro") {
		t.Errorf("image %q, volumes %q", s.Image, got)
	}
}

// Without the Mesos agent the container has only the rights that its daemons need.
func TestComposeRights(t *testing.T) {
	loaded, plan := plantest.Of(t, "SLAVE=false\n")
	s := parse(t, Compose(loaded, plan, Facts{}), nil)
	if s.Privileged || slices.Contains(s.CapAdd, "NET_ADMIN") || len(s.Devices) > 0 || !slices.Contains(s.CapAdd, "NET_BIND_SERVICE") {
		t.Errorf("a master: privileged %v, %q, %v", s.Privileged, s.CapAdd, s.Devices)
	}
	if !slices.Contains(s.CapAdd, "SYS_PTRACE") {
		t.Errorf("a master has daemons of other users, whose processes are found by %q", s.CapAdd)
	}
	loaded, plan = plantest.Of(t, "MASTER=false\nSTART_MESOS_SLAVE=false\nSTART_DNS=false\nCONSUL_HOSTS=10.0.0.1\nCONSUL_USER=root\n")
	if s := parse(t, Compose(loaded, plan, Facts{}), nil); slices.Contains(s.CapAdd, "SYS_PTRACE") {
		t.Errorf("where all daemons are root's: %q", s.CapAdd)
	}
	const socket = "bind /var/run/docker.sock:/var/run/docker.sock"
	if slices.Contains(mounts(s), socket) {
		t.Error("a master may open Docker's socket, which nothing there needs")
	}
	loaded, plan = plantest.Of(t, "SLAVE=false\nSTART_REGISTRATOR=true\n")
	if s := parse(t, Compose(loaded, plan, Facts{}), nil); s.Privileged || !slices.Contains(mounts(s), socket) {
		t.Errorf("Registrator: privileged %v, %q", s.Privileged, mounts(s))
	}
	loaded, plan = plantest.Of(t, "SLAVE=false\nTUNNEL_ENDPOINT=vpn.example.com\n")
	s = parse(t, Compose(loaded, plan, Facts{}), nil)
	if s.Privileged || !slices.Contains(s.CapAdd, "NET_ADMIN") || len(s.Devices) != 1 {
		t.Errorf("a gateway: privileged %v, %q, %v", s.Privileged, s.CapAdd, s.Devices)
	}
}
