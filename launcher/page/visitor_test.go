package page

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// visitor is a browser without a screen.
type visitor struct {
	t       *testing.T
	address string
	cookie  *http.Cookie
	proof   string
}

// ask sends a request, which edit may change, and returns the answer and its body.
func (v *visitor) ask(method, path, form string, edit func(*http.Request)) (answer *http.Response, body string) {
	v.t.Helper()
	r, err := http.NewRequest(method, "http://"+v.address+path, strings.NewReader(form))
	if err != nil {
		v.t.Fatal(err)
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if v.cookie != nil {
		r.AddCookie(v.cookie)
	}
	r.Header.Set(proofHeader, v.proof)
	if edit != nil {
		edit(r)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: patient,
	}
	answer, err = client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer, string(text)
}

// login gets a cookie and the proof that the page holds.
func (v *visitor) login() {
	v.t.Helper()
	answer, body := v.ask("POST", "/page/login", "token="+secret, nil)
	if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/page/" || len(answer.Cookies()) != 1 {
		v.t.Fatalf("the login is answered with %d %s", answer.StatusCode, body)
	}
	v.cookie = answer.Cookies()[0]
	_, body = v.ask("GET", "/page/", "", nil)
	_, rest, ok := strings.Cut(body, `data-proof="`)
	if v.proof, _, _ = strings.Cut(rest, `"`); !ok {
		v.t.Fatalf("there is no proof in %s", body)
	}
}

func newVisitor(t *testing.T) (*visitor, *world) {
	t.Helper()
	w := newWorld(t)
	return &visitor{t: t, address: w.serve(t, "").address}, w
}

// stream asks for a stream of events.
func (v *visitor) stream(path string) io.ReadCloser {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), "GET", "http://"+v.address+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	r.AddCookie(v.cookie)
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patient}).Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer.Body
}

// opened opens a stream, and tells how much has come, and when it ends: nil if the server
// has ended it in time.
func (v *visitor) opened(path string) (came *atomic.Int64, end <-chan error) {
	v.t.Helper()
	body, ended := v.stream(path), make(chan error, 1)
	came = new(atomic.Int64)
	go func() {
		_, err := io.Copy(counter{came}, body)
		_ = body.Close()
		ended <- err
	}()
	return came, ended
}

// counter counts what is written.
type counter struct{ *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.Add(int64(len(b)))
	return len(b), nil
}

// events reads events of a stream until one satisfies enough.
func (v *visitor) events(path string, enough func(event, data string) bool) {
	v.t.Helper()
	body := v.stream(path)
	defer func() { _ = body.Close() }()
	lines, event := bufio.NewScanner(body), ""
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && enough(event, data) {
			return
		}
	}
	v.t.Fatalf("the stream %s ended: %v", path, lines.Err())
}
