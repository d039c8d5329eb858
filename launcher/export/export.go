// Package export writes what starts `panteras up` at boot: a file for Docker Compose
// and a unit for systemd. Both are pure functions of the settings and the plan; neither
// holds a secret.
package export

import (
	"slices"
	"strings"
	"time"

	"panteras/configs"
	"panteras/launcher"
)

// Facts are what the texts depend on beside settings and plan.
type Facts struct {
	// Self is the full path of this program.
	Self string
	// Folder is the full path of the settings folder, "" if there is none.
	Folder string
	// ResolvCopy tells that /etc/resolv.conf.orig is there.
	ResolvCopy bool
	// Docker is the path of the host's docker program, "" if there is none.
	Docker string
}

// margin is what the launcher has beyond the graces of its daemons: to deregister, and
// to see the killed ones gone.
const margin = 15 * time.Second

// Grace is how long a host may take to stop at most. Daemons stop one after another, in
// the reverse order of their start; it ends as soon as the last one is gone.
func Grace(plan *launcher.Plan) time.Duration {
	total := margin
	for _, d := range plan.Daemons {
		if d.Run {
			total += time.Duration(d.Stop.GraceSeconds) * time.Second
		}
	}
	return total
}

// noFile is the largest limit of open files among the daemons that run, and a
// few for the launcher.
func noFile(plan *launcher.Plan) int {
	most := 4096
	for _, d := range plan.Daemons {
		if d.Run {
			most = max(most, d.NOFile)
		}
	}
	return most
}

// variable is a setting that does not stand in a file.
type variable struct{ name, value string }

// ofImage are settings that mean nothing to who runs in the container.
var ofImage = []string{"REGISTRY", "PANTERAS_IMAGE_TAG", "PANTERAS_DOCKER_IMAGE", "PANTERAS_RESTART", "HOST_DOCKER"}

// environment splits the settings that came from the environment or from flags: their
// values must be repeated where panteras is to run. Of secrets there are names only.
// GOMAXPROCS is always there, unless Go decides.
func environment(loaded *configs.Loaded) (list []variable, secrets []string) {
	for _, o := range loaded.Origins {
		flag := strings.HasPrefix(o.Origin, "--")
		switch {
		case o.Name == "GOMAXPROCS": // Go takes it from nowhere but the environment
			if loaded.Settings.GoMaxProcs > 0 {
				list = append(list, variable{o.Name, o.Value})
			}
		case slices.Contains(ofImage, o.Name):
		case o.Origin != "environment" && !flag:
		case o.Name == "HOSTNAME" && !flag: // every shell has it; there it is found again
		case o.Secret, o.Shown() != o.Value: // a secret, or arguments that hold one
			secrets = append(secrets, o.Name)
		default:
			list = append(list, variable{o.Name, o.Value})
		}
	}
	return list, secrets
}

// runs tells whether the plan runs a daemon.
func runs(plan *launcher.Plan, name string) bool {
	for _, d := range plan.Daemons {
		if d.Name == name {
			return d.Run
		}
	}
	return false
}
