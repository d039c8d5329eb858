package page

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path"
	"strings"
	"time"
)

const (
	// bodyBytes is how much a request may bring.
	bodyBytes = 16 << 10
	// proofHeader shows that a request comes from the page.
	proofHeader = "X-Panteras-Proof"
)

func (p *Page) newMux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, root, http.StatusSeeOther) })
	mux.HandleFunc("GET "+root+"{$}", p.getPage)
	mux.HandleFunc("POST "+root+"login", p.login)
	mux.HandleFunc("GET "+root+"style.css", asset("style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET "+root+"script.js", asset("script.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("GET "+root+"login.js", asset("login.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("GET "+root+"session", p.known(func(w http.ResponseWriter, _ *http.Request, _ session) { w.WriteHeader(http.StatusNoContent) }))
	mux.HandleFunc("GET "+root+"events", p.known(p.events))
	mux.HandleFunc("GET "+root+"daemons/{name}/log", p.known(p.log))
	mux.HandleFunc("POST "+root+"logout", p.proven(p.logout))
	mux.HandleFunc("POST "+root+"daemons/{name}/{action}", p.proven(p.postDaemon))
	mux.HandleFunc("POST "+root+"explain", p.proven(p.postExplain))
	mux.HandleFunc("POST "+root+"peers", p.proven(p.postPeer))
	mux.HandleFunc("POST "+root+"peers/{name}/{action}", p.proven(p.postPeerAction))
	return mux
}

// ServeHTTP implements http.Handler. Host and Origin have been looked at.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "same-origin") // without any, browsers hide the Origin of forms
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	// The mux would redirect other paths to where it thinks that they belong.
	if at := r.URL.Path; at != path.Clean(at) && at != root {
		fail(w, http.StatusNotFound, "the path is not written plainly")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, bodyBytes)
	p.mux.ServeHTTP(w, r)
}

// problem is the answer to what could not be done, told as the result is.
type problem struct {
	Error string `json:"error"`
}

func fail(w http.ResponseWriter, code int, text string) { answer(w, code, problem{text}) }

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // who went away is nobody to tell
}

// known lets in who has logged in.
func (p *Page) known(handle func(http.ResponseWriter, *http.Request, session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		one, ok := p.sessions.Load().of(r)
		if !ok {
			fail(w, http.StatusUnauthorized, "you are not logged in, or no longer; load the page again")
			return
		}
		handle(w, r, one)
	}
}

// proven lets in what comes from the page of somebody who has logged in.
func (p *Page) proven(handle http.HandlerFunc) http.HandlerFunc {
	return p.known(func(w http.ResponseWriter, r *http.Request, one session) {
		if !p.sessions.Load().proves(one, r.Header.Get(proofHeader)) {
			fail(w, http.StatusForbidden, "the request does not come from this page; load the page again")
			return
		}
		handle(w, r)
	})
}

func (p *Page) getPage(w http.ResponseWriter, r *http.Request) {
	one, ok := p.sessions.Load().of(r)
	if !ok {
		p.show(w, http.StatusOK, "login.html", document{})
		return
	}
	parts, err := p.current(r.Context())
	if err != nil {
		p.o.Log.Error("the status page cannot be rendered", "error", err)
		fail(w, http.StatusInternalServerError, "the page cannot be rendered; the launcher's log says why")
		return
	}
	p.show(w, http.StatusOK, "page.html", document{Facts: p.o.Facts(), Parts: byID(parts), Proof: p.sessions.Load().proof(one), Instance: p.o.Instance})
}

func (p *Page) login(w http.ResponseWriter, r *http.Request) {
	// Not the form of the URL: a token does not belong there.
	all := p.sessions.Load() // once: the cookie is of the token that was right
	if err := r.ParseForm(); err != nil || !all.right(strings.TrimSpace(r.PostForm.Get("token"))) {
		text := "That is not the token. The right one is in STATE_DIR/token."
		if all.none {
			text = "The token of this host cannot be read, so nobody is let in; the launcher's log says why."
		}
		p.show(w, http.StatusUnauthorized, "login.html", document{Problem: text})
		return
	}
	http.SetCookie(w, all.cookie(r.TLS != nil))
	http.Redirect(w, r, root, http.StatusSeeOther)
}

func (p *Page) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, p.sessions.Load().crumb("", -1, r.TLS != nil))
	w.WriteHeader(http.StatusNoContent)
}

// The times that things may take while somebody waits for the answer.
const (
	writeTime   = 10 * time.Second // to take an answer
	actionTime  = 30 * time.Second
	commandTime = 60 * time.Second
)

// within gives a request the time that it needs, which is more than the server's.
func within(w http.ResponseWriter, r *http.Request, d time.Duration) (context.Context, context.CancelFunc) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Now().Add(d + writeTime))
	return context.WithTimeout(r.Context(), d)
}

// asker says who makes a request, for the audit log.
func asker(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "status page"
	}
	return fmt.Sprintf("status page at %s", host)
}
