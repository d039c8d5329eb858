package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
)

//go:embed assets
var assets embed.FS

var templates = template.Must(template.New("").ParseFS(assets, "assets/*.html"))

// edition is another one when anything of the page is: a browser that shows an older
// one loads the page again.
var edition = func() string {
	h := sha256.New()
	err := fs.WalkDir(assets, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := assets.ReadFile(path)
		_, _ = h.Write(text)
		return err
	})
	if err != nil {
		panic(err) // of what is in this program
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}()

// part is one piece of the page that changes as a whole.
type part struct {
	ID   string        `json:"id"`
	HTML template.HTML `json:"html"`
}

// render makes the parts of a snapshot.
func render(s *snapshot) ([]part, error) {
	daemons, disabled := s.daemons()
	var troubles []string
	if text := stale("The launcher does not say how things are", s.status, s.now); text != "" {
		troubles = append(troubles, text)
	}
	if text := s.consulTrouble(); text != "" {
		troubles = append(troubles, text)
	}
	var parts []part
	for _, one := range []struct {
		id   string
		view any
	}{
		{"troubles", troubles},
		{"cards", s.cards()},
		{"daemons", map[string]any{"Daemons": daemons, "Disabled": disabled}},
		{"dns", s.dnsPart()},
		{"peers", s.peersPart()},
		{"balancer", s.balancerPart()},
		{"links", s.links()},
	} {
		var text bytes.Buffer
		if err := templates.ExecuteTemplate(&text, one.id, one.view); err != nil {
			return nil, err
		}
		parts = append(parts, part{one.id, template.HTML(text.String())}) //nolint:gosec // it is a template's
	}
	return parts, nil
}

// document is what the whole page is made of.
type document struct {
	Facts    Facts
	Parts    map[string]template.HTML
	Proof    string
	Instance string
	Edition  string
	// Problem is why a login failed.
	Problem string
}

func byID(parts []part) map[string]template.HTML {
	all := map[string]template.HTML{}
	for _, one := range parts {
		all[one.ID] = one.HTML
	}
	return all
}

// policy lets the page do what it does: its own script and style, nothing inline, nothing
// from or to elsewhere; the QR code is a data: URL.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (p *Page) show(w http.ResponseWriter, code int, name string, d document) {
	d.Edition = edition
	var text bytes.Buffer
	if err := templates.ExecuteTemplate(&text, name, d); err != nil {
		p.o.Log.Error("the status page cannot be rendered", "error", err)
		http.Error(w, "the page cannot be rendered; the launcher's log says why", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(text.Bytes())
}

// asset serves a file of the page's. None holds anything of this host.
func asset(name, kind string) http.HandlerFunc {
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // of what is in this program
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(slices.Clone(text))
	}
}
