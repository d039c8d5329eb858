// Command runargs prints the arguments of `docker run` for the service panteras of a
// compose file, one a line, so that a test without Compose runs what Compose would:
//
//	runargs -root DIR [-service NAME] FILE
//	runargs -build [-service NAME] FILE
//
// The folders that the service shares with its host are then below DIR, but those that lie
// where FILE does. With -build it prints the arguments of `docker build`. Without a name
// the service is panteras. What it cannot say to Docker is an error.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

func main() {
	root := flag.String("root", "", "the folder that stands for / of the host")
	name := flag.String("service", "panteras", "the service")
	build := flag.Bool("build", false, "print the arguments of docker build")
	flag.Parse()
	service, err := read(flag.Arg(0), *name)
	if err == nil {
		err = understood(service)
	}
	var arguments []string
	switch {
	case err != nil:
	case *build:
		arguments, err = buildArguments(service)
	default:
		arguments, err = runArguments(service, *root)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "runargs:", err)
		os.Exit(1)
	}
	fmt.Println(strings.Join(arguments, "\n"))
}

// read reads a service as Compose does, with the environment.
func read(file, name string) (s types.ServiceConfig, err error) {
	file, err = filepath.Abs(file)
	if err != nil {
		return s, err
	}
	environ := types.NewMapping(os.Environ())
	project, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  filepath.Dir(file),
		ConfigFiles: []types.ConfigFile{{Filename: file}}, Environment: environ,
	}, func(o *loader.Options) { o.SetProjectName("panteras", true) })
	if err != nil {
		return s, err
	}
	return project.GetService(name)
}

// said are the fields of a service that the arguments say, as patterns of path.Match; a
// list is what is in it.
var said = []string{
	"image", "build/context", "build/dockerfile", "build/args/*",
	"container_name", "network_mode", "restart", "stop_grace_period", "privileged", "entrypoint",
	"cap_add", "devices/source", "devices/target", "devices/permissions", "ulimits/*", "environment/*", "tmpfs",
	"volumes/type", "volumes/source", "volumes/target", "volumes/read_only", "volumes/bind/create_host_path",
}

// understood fails at fields that no argument would say: a container without them is not
// the one that Compose would run.
func understood(s types.ServiceConfig) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	if unknown := unsaid("", fields); len(unknown) > 0 {
		slices.Sort(unknown)
		return fmt.Errorf("%s: no argument is known for %s; teach runargs to say it", s.Name, strings.Join(unknown, ", "))
	}
	return nil
}

// unsaid are the paths below a field that no argument says.
func unsaid(field string, value any) (list []string) {
	switch v := value.(type) {
	case map[string]any:
		for name, below := range v {
			list = append(list, unsaid(path.Join(field, name), below)...)
		}
	case []any:
		for _, one := range v {
			list = append(list, unsaid(field, one)...)
		}
	default:
		if field == "command" && v == nil { // always there, unlike others
			return nil
		}
		if !slices.ContainsFunc(said, func(pattern string) bool { known, _ := path.Match(pattern, field); return known }) {
			list = append(list, field)
		}
	}
	return list
}

// buildArguments are those of `docker build`.
func buildArguments(s types.ServiceConfig) ([]string, error) {
	if s.Build == nil || s.Build.Dockerfile != "Dockerfile" {
		return nil, fmt.Errorf("%s: it builds %v, want what the Dockerfile there says", s.Name, s.Build)
	}
	args := []string{"--tag=" + s.Image}
	for name, value := range s.Build.Args {
		if value != nil {
			args = append(args, "--build-arg="+name+"="+*value)
		}
	}
	return append(args, s.Build.Context), nil
}

// runArguments are those of `docker run`.
func runArguments(s types.ServiceConfig, root string) ([]string, error) {
	if s.StopGracePeriod == nil || len(s.Entrypoint) == 0 || s.ContainerName == "" {
		return nil, fmt.Errorf("%s: want a grace, an entry point and a name: %v %v %s", s.Name, s.StopGracePeriod, s.Entrypoint, s.ContainerName)
	}
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	args := []string{
		"--name=" + s.ContainerName, "--network=" + s.NetworkMode, "--restart=" + s.Restart,
		fmt.Sprintf("--stop-timeout=%d", time.Duration(*s.StopGracePeriod)/time.Second),
		fmt.Sprintf("--privileged=%t", s.Privileged), "--entrypoint=" + s.Entrypoint[0],
	}
	for _, c := range s.CapAdd {
		args = append(args, "--cap-add="+c)
	}
	for _, d := range s.Devices {
		args = append(args, "--device="+d.Source+":"+d.Target+":"+d.Permissions)
	}
	for name, limit := range s.Ulimits {
		args = append(args, fmt.Sprintf("--ulimit=%s=%d", name, limit.Single))
	}
	for name, value := range s.Environment {
		if value != nil {
			args = append(args, "--env="+name+"="+*value)
		}
	}
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeBind {
			return nil, fmt.Errorf("%s: %s is a %s, and not a folder of the host", s.Name, v.Target, v.Type)
		}
		source := v.Source
		if !strings.HasPrefix(source, here) {
			source = filepath.Join(root, source)
		}
		if v.Bind != nil && bool(v.Bind.CreateHostPath) {
			if err := os.MkdirAll(source, 0o755); err != nil {
				return nil, err
			}
		}
		mount := "--mount=type=bind,source=" + source + ",target=" + v.Target
		if v.ReadOnly {
			mount += ",readonly"
		}
		args = append(args, mount)
	}
	for _, t := range s.Tmpfs {
		args = append(args, "--tmpfs="+t)
	}
	return append(append(args, s.Image), s.Entrypoint[1:]...), nil
}
