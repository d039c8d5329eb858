package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"panteras/launcher/host"

	"github.com/spf13/cobra"
)

// version is set at build time: -ldflags "-X main.version=v1.2.3".
var version string

// versionInfo says what this binary was built from.
type versionInfo struct {
	Version  string `json:"version"`            // as released, else a commit, else "unknown"
	Commit   string `json:"commit,omitempty"`   // full hash of the commit
	Modified bool   `json:"modified,omitempty"` // there were changes beside the commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// HandOver is the version of what a launcher leaves to the next in an upgrade.
	HandOver int `json:"hand_over"`
}

func readVersion() versionInfo {
	build, _ := debug.ReadBuildInfo()
	return describeBuild(version, build)
}

// describeBuild prefers the version given at build time to what the Go command
// recorded. build may be nil.
func describeBuild(version string, build *debug.BuildInfo) versionInfo {
	info := versionInfo{
		Version:  version,
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		HandOver: host.HandOverVersion,
	}
	if build != nil {
		for _, setting := range build.Settings {
			switch setting.Key {
			case "vcs.revision":
				info.Commit = setting.Value
			case "vcs.modified":
				info.Modified = setting.Value == "true"
			}
		}
		if info.Version == "" && build.Main.Version != "(devel)" {
			info.Version = build.Main.Version
		}
	}
	const shortHash = 12
	if info.Version == "" && len(info.Commit) >= shortHash {
		info.Version = info.Commit[:shortHash]
		if info.Modified {
			info.Version += "+modified"
		}
	}
	if info.Version == "" {
		info.Version = "unknown"
	}
	return info
}

func newVersionCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary and of Go",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info := readVersion()
			if asJSON {
				return json.NewEncoder(a.stdout).Encode(info)
			}
			_, err := fmt.Fprintf(a.stdout, "panteras %s %s %s\n", info.Version, info.Go, info.Platform)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
