package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
)

// done is the answer to what was done.
type done struct {
	Message string `json:"message"`
}

// report answers how an action went. What still goes on is not an error.
func (p *Page) report(w http.ResponseWriter, err error, text string) {
	p.changed()
	switch {
	case err == nil:
		answer(w, http.StatusOK, done{text})
	case errors.Is(err, context.DeadlineExceeded):
		answer(w, http.StatusAccepted, done{"This takes longer; it goes on, and the page shows how it ends."})
	default:
		fail(w, http.StatusConflict, err.Error())
	}
}

func (p *Page) postDaemon(w http.ResponseWriter, r *http.Request) {
	actions := map[string]struct {
		do   func(context.Context, string) error
		done string
	}{
		"start":   {p.o.Launcher.Start, "is started"},
		"stop":    {p.o.Launcher.Stop, "is stopped, until it is started again"},
		"restart": {p.o.Launcher.Restart, "has been restarted"},
	}
	action, ok := actions[r.PathValue("action")]
	name := r.PathValue("name")
	if !ok || !p.isDaemon(r.Context(), name) {
		fail(w, http.StatusNotFound, "there is no such daemon or action")
		return
	}
	ctx, cancel := within(w, r, actionTime)
	defer cancel()
	p.report(w, action.do(ctx, name), name+" "+action.done+".")
}

func (p *Page) isDaemon(ctx context.Context, name string) bool {
	status := p.status.look(ctx)
	s := snapshot{status: status}
	return s.daemon(name) != nil
}

// longestName is how long a name that is looked up may be, with a path.
const longestName = 500

func (p *Page) postExplain(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimSpace(r.PostFormValue("name"))
	if name == "" || len(name) > longestName || strings.ContainsFunc(name, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }) {
		fail(w, http.StatusBadRequest, "write a name, such as web.service.consul, without blanks")
		return
	}
	ctx, cancel := within(w, r, actionTime)
	defer cancel()
	text, err := p.o.Explain(ctx, name)
	if err != nil {
		fail(w, http.StatusConflict, err.Error())
		return
	}
	answer(w, http.StatusOK, map[string]string{"text": text})
}

func (p *Page) postPeer(w http.ResponseWriter, r *http.Request) {
	request := PeerRequest{
		Name: r.PostFormValue("name"), System: r.PostFormValue("system"), Expires: r.PostFormValue("expires"),
		Allow: r.PostFormValue("allow"), PublicKey: strings.TrimSpace(r.PostFormValue("public_key")), Preshared: r.PostFormValue("preshared") != "",
	}
	if strings.TrimSpace(request.Name) == "" {
		fail(w, http.StatusBadRequest, "a peer needs a name, such as alice-laptop")
		return
	}
	ctx, cancel := within(w, r, commandTime)
	defer cancel()
	issued, err := p.o.Peers.Add(ctx, asker(r), request)
	p.changed()
	if err != nil {
		fail(w, http.StatusConflict, err.Error())
		return
	}
	answer(w, http.StatusOK, issued)
}

func (p *Page) postPeerAction(w http.ResponseWriter, r *http.Request) {
	actions := map[string]struct {
		do   func(ctx context.Context, by, name string) error
		done string
	}{
		"disable": {p.o.Peers.Disable, "has no access any more."},
		"enable":  {p.o.Peers.Enable, "has access again."},
		"remove":  {p.o.Peers.Remove, "is removed."},
	}
	action, ok := actions[r.PathValue("action")]
	if !ok {
		fail(w, http.StatusNotFound, "there is no such action")
		return
	}
	ctx, cancel := within(w, r, commandTime)
	defer cancel()
	name := r.PathValue("name")
	p.report(w, action.do(ctx, asker(r), name), fmt.Sprintf("%s %s", name, action.done))
}
