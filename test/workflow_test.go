package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"panteras/internal/lab"
)

// workflow is what GitHub is told to run.
type workflow struct {
	Jobs map[string]struct {
		Needs, If string
		Steps     []struct {
			Uses, Run, If string
			With          map[string]any
		}
	}
}

// TestWorkflow looks for what the workflow is there for: `.ci/run` decides, pictures are
// kept whatever it says, and a tag has `make dist` run where the checks passed.
func TestWorkflow(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(lab.Root(t), ".github", "workflows", "ci.yaml"))
	var w workflow
	if err == nil {
		err = yaml.Unmarshal(text, &w)
	}
	if err != nil {
		t.Fatal(err)
	}
	kept := func(job, path, condition string) bool {
		for _, s := range w.Jobs[job].Steps {
			if strings.HasPrefix(s.Uses, "actions/upload-artifact@") && s.With["path"] == path && s.If == condition {
				return true
			}
		}
		return false
	}
	runs := func(job, program string) bool {
		for _, s := range w.Jobs[job].Steps {
			if slices.Contains(strings.Fields(s.Run), program) && s.If == "" {
				return true
			}
		}
		return false
	}
	if !runs("run", ".ci/run") || !kept("run", "test/artifacts", "always()") {
		t.Errorf("the job run does not run .ci/run, or does not keep test/artifacts: %+v", w.Jobs["run"])
	}
	if release := w.Jobs["release"]; release.Needs != "run" || !strings.Contains(release.If, "refs/tags/v") || !runs("release", "dist") || !kept("release", "dist", "") {
		t.Errorf("the job release does not make a release of a tag after the job run: %+v", release)
	}
	for _, script := range []string{".ci/run", "tools/dist.sh"} {
		if info, err := os.Stat(filepath.Join(lab.Root(t), script)); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be run: %v", script, err)
		}
	}
}
