// Command runargs prints the arguments of `docker run` for the service panteras of a
// compose file, one a line, so that a test without Compose runs what Compose would:
//
//	runargs -root DIR FILE
//
// The folders that the service shares with its host are then below DIR.
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
	flag.Parse()
	arguments, err := translate(flag.Arg(0), *root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "runargs:", err)
		os.Exit(1)
	}
	fmt.Println(strings.Join(arguments, "\n"))
}

// translate fails at what it does not know how to say to `docker run`.
func translate(file, root string) ([]string, error) {
	project, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  "/srv/panteras",
		ConfigFiles: []types.ConfigFile{{Filename: file}},
	}, func(o *loader.Options) { o.SetProjectName("panteras", true) })
	if err != nil {
		return nil, err
	}
	s, err := project.GetService("panteras")
	if err != nil {
		return nil, err
	}
	if s.StopGracePeriod == nil || len(s.Entrypoint) == 0 || len(s.Devices)+len(s.Ports) > 0 {
		return nil, fmt.Errorf("%s: want a grace, an entry point, no devices and no ports: %v %v %v %v", file, s.StopGracePeriod, s.Entrypoint, s.Devices, s.Ports)
	}
	args := []string{
		"--network=" + s.NetworkMode, "--restart=" + s.Restart,
		fmt.Sprintf("--stop-timeout=%d", time.Duration(*s.StopGracePeriod)/time.Second),
		fmt.Sprintf("--privileged=%t", s.Privileged), "--entrypoint=" + s.Entrypoint[0],
	}
	for _, c := range s.CapAdd {
		args = append(args, "--cap-add="+c)
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
			return nil, fmt.Errorf("%s: %s is a %s, and not a folder of the host", file, v.Target, v.Type)
		}
		source := filepath.Join(root, v.Source)
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
