package launcher

import (
	"bytes"
	"encoding/json"

	"panteras/configs"
)

// MarshalJSON is the plan for programs:
//
//	{"settings":{…},"findings":[{"level","setting","message"}],
//	 "daemons":[{"name","run","because","user","argv":[…],"env":{…},
//	   "files":[{"path","mode","content"}],"probe":{…},"after":[…],
//	   "stop":{"signal","grace_seconds"}}]}
func (p *Plan) MarshalJSON() ([]byte, error) {
	type file struct {
		Path    string `json:"path"`
		Mode    string `json:"mode"`
		Content string `json:"content"`
	}
	type daemon struct {
		Name    string            `json:"name"`
		Run     bool              `json:"run"`
		Because string            `json:"because"`
		User    string            `json:"user"`
		Argv    []string          `json:"argv"`
		Env     map[string]string `json:"env"`
		Files   []file            `json:"files"`
		Probe   Probe             `json:"probe"`
		After   []string          `json:"after"`
		Stop    Stop              `json:"stop"`
	}
	out := struct {
		Settings map[string]string `json:"settings"`
		Findings []configs.Finding `json:"findings"`
		Daemons  []daemon          `json:"daemons"`
	}{Settings: map[string]string{}, Findings: append([]configs.Finding{}, p.Findings...)}
	for _, o := range p.Settings {
		out.Settings[o.Name] = p.Mask(o.Shown())
	}
	for _, d := range p.Daemons {
		d = p.masked(d)
		files := []file{}
		for _, f := range d.Files {
			files = append(files, file{f.Path, f.Mode, f.Content})
		}
		out.Daemons = append(out.Daemons, daemon{
			Name: d.Name, Run: d.Run, Because: d.Because, User: d.User, Argv: d.Argv, Env: d.Env, Files: files,
			Probe: d.Probe, After: append([]string{}, d.After...), Stop: d.Stop,
		})
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(out)
	return text.Bytes(), err
}
