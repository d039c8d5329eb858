// Command runargs prints the arguments of `docker run` for the service panteras of a
// compose file, one a line, so that a test without Compose runs what Compose would:
//
//	runargs -root DIR [-service NAME] FILE
//	runargs -build [-service NAME] FILE
//
// The folders that the service shares with its host are then below DIR, but those that lie
// where FILE does. With -build it prints the arguments of `docker build`. Without a name
// the service is panteras.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
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

// buildArguments fails at what it does not know how to say to `docker build`.
func buildArguments(s types.ServiceConfig) ([]string, error) {
	if s.Build == nil || s.Build.Target != "" {
		return nil, fmt.Errorf("%s: it builds %v, want all of an image", s.Name, s.Build)
	}
	args := []string{"--tag=" + s.Image}
	for name, value := range s.Build.Args {
		if value != nil {
			args = append(args, "--build-arg="+name+"="+*value)
		}
	}
	return append(args, s.Build.Context), nil
}

// runArguments fails at what it does not know how to say to `docker run`.
func runArguments(s types.ServiceConfig, root string) ([]string, error) {
	if s.StopGracePeriod == nil || len(s.Entrypoint) == 0 || s.ContainerName == "" || len(s.Ports) > 0 {
		return nil, fmt.Errorf("%s: want a grace, an entry point, a name and no ports: %v %v %s %v", s.Name, s.StopGracePeriod, s.Entrypoint, s.ContainerName, s.Ports)
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
		args = append(args, "--device="+d.Source+":"+d.Target)
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
