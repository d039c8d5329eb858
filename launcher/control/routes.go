package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"panteras/launcher"
)

const healthPath = "/healthz"

// route is one thing that the API can do.
type route struct {
	method, path string
	handle       func(*Server, http.ResponseWriter, *http.Request)
}

// routes is all of the API; docs/api.md lists the same.
var routes = []route{
	{"GET", "/api/v1/status", (*Server).getStatus},
	{"GET", "/api/v1/version", (*Server).getVersion},
	{"GET", "/api/v1/daemons/{name}", (*Server).getDaemon},
	{"GET", "/api/v1/daemons/{name}/logs", (*Server).getLogs},
	{"POST", "/api/v1/daemons/{name}/start", action(Supervisor.Start)},
	{"POST", "/api/v1/daemons/{name}/stop", action(Supervisor.Stop)},
	{"POST", "/api/v1/daemons/{name}/restart", action(Supervisor.Restart)},
	{"POST", "/api/v1/daemons/{name}/reload", action(Supervisor.Reload)},
	{"POST", "/api/v1/reload", (*Server).postReload},
	{"POST", "/api/v1/upgrade", (*Server).postUpgrade},
	{"GET", "/metrics", (*Server).getMetrics},
	{"GET", healthPath, (*Server).getHealth},
}

// newMux serves the routes, and what is none of them with errors as JSON.
func (s *Server) newMux() http.Handler {
	mux := http.NewServeMux()
	methods := map[string]string{}
	for _, r := range routes {
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) { r.handle(s, w, req) })
		allowed := r.method
		if allowed == http.MethodGet {
			allowed = "GET, HEAD"
		}
		methods[r.path] = allowed
	}
	for pattern, allowed := range methods {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", allowed)
			fail(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s takes %s only", r.URL.Path, allowed))
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "there is no such path; the API begins with /api/v1/")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux would redirect these to a path that it knows.
		if p := r.URL.Path; p != path.Clean(p) || !strings.HasPrefix(p, "/") {
			fail(w, http.StatusNotFound, "the path is not written plainly")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, bodyBytes)
		mux.ServeHTTP(w, r)
	})
}

// Problem is the answer to what could not be done.
type Problem struct {
	Error string `json:"error"`
}

func fail(w http.ResponseWriter, code int, text string) { answer(w, code, Problem{text}) }

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	// A client that went away is nobody to tell.
	_ = encoder.Encode(body)
}

func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) {
	st, err := s.Status(r.Context())
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	answer(w, http.StatusOK, st)
}

func (s *Server) getVersion(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.instance)
}

func (s *Server) getHealth(w http.ResponseWriter, r *http.Request) {
	st, err := s.Status(r.Context())
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	h, code := s.health.judge(st), http.StatusOK
	if len(h.Daemons) > 0 {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, h)
}

func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) { s.metrics.ServeHTTP(w, r) }

// find answers with an error itself when there is no daemon of the request's name.
func (s *Server) find(w http.ResponseWriter, r *http.Request) (launcher.DaemonStatus, bool) {
	st, err := s.Status(r.Context())
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error())
		return launcher.DaemonStatus{}, false
	}
	name := r.PathValue("name")
	var names []string
	for _, d := range st.Daemons {
		if d.Name == name {
			return d, true
		}
		names = append(names, d.Name)
	}
	fail(w, http.StatusNotFound, fmt.Sprintf("there is no daemon %q; there are %s", name, strings.Join(names, ", ")))
	return launcher.DaemonStatus{}, false
}

func (s *Server) getDaemon(w http.ResponseWriter, r *http.Request) {
	if d, ok := s.find(w, r); ok {
		answer(w, http.StatusOK, d)
	}
}

// action makes a handler of what is done to one daemon. The answer is its status after.
func action(do func(Supervisor, context.Context, string) error) func(*Server, http.ResponseWriter, *http.Request) {
	return func(s *Server, w http.ResponseWriter, r *http.Request) {
		d, ok := s.find(w, r)
		if !ok || !empty(w, r) {
			return
		}
		if s.act(w, r, func(ctx context.Context) error { return do(s.options.Supervisor, ctx, d.Name) }) {
			s.getDaemon(w, r)
		}
	}
}

func (s *Server) postReload(w http.ResponseWriter, r *http.Request) {
	if empty(w, r) && s.act(w, r, func(ctx context.Context) error { return s.options.Supervisor.Reload(ctx, "") }) {
		s.getStatus(w, r)
	}
}

// UpgradeRequest is the body of a request to upgrade.
type UpgradeRequest struct {
	// Path is the new program, a full path.
	Path string `json:"path"`
}

func (s *Server) postUpgrade(w http.ResponseWriter, r *http.Request) {
	var body UpgradeRequest
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		fail(w, http.StatusBadRequest, `the body must be JSON: {"path": "/full/path/of/panteras"}`)
		return
	}
	if !filepath.IsAbs(body.Path) {
		fail(w, http.StatusBadRequest, fmt.Sprintf("the path %q is not a full path", body.Path))
		return
	}
	if s.act(w, r, func(ctx context.Context) error { return s.options.Supervisor.Upgrade(ctx, body.Path) }) {
		answer(w, http.StatusAccepted, s.instance)
	}
}

// empty refuses a request with a body where none is taken: it means something that
// would not be done.
func empty(w http.ResponseWriter, r *http.Request) bool {
	if n, _ := io.CopyN(io.Discard, r.Body, 1); n > 0 {
		fail(w, http.StatusBadRequest, "this takes no body")
		return false
	}
	return true
}

// act does something that takes its time, and answers if it fails.
func (s *Server) act(w http.ResponseWriter, r *http.Request, do func(context.Context) error) bool {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Now().Add(actionTime + requestTime))
	ctx, cancel := context.WithTimeout(r.Context(), actionTime)
	defer cancel()
	err := do(ctx)
	switch {
	case err == nil:
		return true
	case errors.Is(err, ErrRefused):
		fail(w, http.StatusConflict, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		fail(w, http.StatusGatewayTimeout, err.Error())
	default:
		fail(w, http.StatusInternalServerError, err.Error())
	}
	return false
}

// logLines is how many lines of a log are sent unless the request says.
const logLines = 100

// getLogs sends lines as JSON, one a line; with follow=true it goes on with every new one.
func (s *Server) getLogs(w http.ResponseWriter, r *http.Request) {
	d, ok := s.find(w, r)
	if !ok {
		return
	}
	n, follow, err := logQuery(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	const kind = "application/x-ndjson"
	if !follow || r.Method == http.MethodHead {
		w.Header().Set("Content-Type", kind)
		encoder := json.NewEncoder(w)
		for _, line := range s.options.Logs.Tail(d.Name, n) {
			if encoder.Encode(line) != nil {
				return
			}
		}
		return
	}
	select {
	case s.follow <- struct{}{}:
		defer func() { <-s.follow }()
	default:
		fail(w, http.StatusTooManyRequests, fmt.Sprintf("%d others follow logs, which is as many as can", followers))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	w.Header().Set("Content-Type", kind)
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	_ = c.Flush() // tells the client that it follows
	encoder := json.NewEncoder(w)
	for line := range s.options.Logs.Follow(ctx, d.Name, n) {
		_ = c.SetWriteDeadline(time.Now().Add(requestTime))
		if encoder.Encode(line) != nil || c.Flush() != nil {
			return
		}
	}
}

func logQuery(r *http.Request) (n int, follow bool, err error) {
	n = logLines
	query := r.URL.Query()
	if text := query.Get("n"); text != "" {
		if n, err = strconv.Atoi(text); err != nil || n < 0 {
			return 0, false, fmt.Errorf("n=%q is not a number of lines", text)
		}
	}
	if text := query.Get("follow"); text != "" {
		if follow, err = strconv.ParseBool(text); err != nil {
			return 0, false, fmt.Errorf("follow=%q is not true or false", text)
		}
	}
	return n, follow, nil
}
