package page

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"panteras/internal/lab"
	"panteras/launcher"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLogin(t *testing.T) {
	t.Parallel()
	v, _ := newVisitor(t)
	for name, form := range map[string]string{"nothing": "", "an empty token": "token=", "a wrong one": "token=" + strings.Repeat("0", 64), "half of it": "token=" + secret[:32], "more": "token=" + secret + "0"} {
		if answer, _ := v.ask("POST", "/page/login", form, nil); answer.StatusCode != http.StatusUnauthorized || len(answer.Cookies()) != 0 {
			t.Errorf("%s is answered with %d and cookies %v", name, answer.StatusCode, answer.Cookies())
		}
	}
	if answer, _ := v.ask("POST", "/page/login?token="+secret, "", nil); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token in the URL is answered with %d", answer.StatusCode)
	}
	if answer, body := v.ask("GET", "/page/", "", nil); answer.StatusCode != http.StatusOK || !strings.Contains(body, `name="token"`) || strings.Contains(body, "node-1") {
		t.Errorf("a stranger sees %d %s", answer.StatusCode, body)
	}
	v.login()
	c := v.cookie
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/page/" || strings.Contains(c.Value, secret) {
		t.Errorf("the cookie is %v", c)
	}
	if raw, _ := base64.RawURLEncoding.DecodeString(c.Value); strings.Contains(string(raw), secret) {
		t.Error("the cookie holds the token")
	}
	// Without a script one sees how things were when the page was loaded.
	if answer, body := v.ask("GET", "/page/", "", nil); answer.StatusCode != http.StatusOK || !strings.Contains(body, `data-key="mesos-master"`) || !strings.Contains(body, "alice-laptop") {
		t.Errorf("who has logged in sees %d %s", answer.StatusCode, body)
	}
	if answer, _ := v.ask("GET", "/page/session", "", nil); answer.StatusCode != http.StatusNoContent {
		t.Errorf("the session is answered with %d", answer.StatusCode)
	}
	if answer, _ := v.ask("POST", "/page/logout", "", nil); answer.StatusCode != http.StatusNoContent || answer.Cookies()[0].MaxAge >= 0 {
		t.Errorf("the logout is answered with %d %v", answer.StatusCode, answer.Cookies())
	}
	if answer, _ := v.ask("GET", "/", "", nil); answer.Header.Get("Location") != "/page/" {
		t.Errorf("/ leads to %q", answer.Header.Get("Location"))
	}
}

// TestAnotherToken ends all sessions; the same one ends none.
func TestAnotherToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	served := w.serve(t, "")
	v := &visitor{t: t, address: served.address}
	v.login()
	streams := []string{"/page/events", "/page/daemons/consul/log"}
	var ends []<-chan error
	var came []*atomic.Int64
	for _, path := range streams {
		much, end := v.opened(path)
		came, ends = append(came, much), append(ends, end)
	}
	session := func() int {
		answer, _ := v.ask("GET", "/page/session", "", nil)
		return answer.StatusCode
	}
	served.page.SetToken(secret)
	if got := session(); got != http.StatusNoContent {
		t.Errorf("with the same token the session is answered with %d", got)
	}
	// They go on: what happens now still comes.
	before := []int64{came[0].Load(), came[1].Load()}
	w.state("zookeeper", launcher.StateStopped)
	w.logs.Write("consul", "after the same token")
	for i, end := range ends {
		lab.Eventually(t, patient, streams[i]+" to go on or end", func() bool { return came[i].Load() > before[i] || len(end) > 0 })
		if len(end) > 0 {
			t.Errorf("with the same token %s ends: %v", streams[i], <-end)
		}
	}
	served.page.SetToken(strings.Repeat("1", 64))
	for i, end := range ends {
		if err := <-end; err != nil {
			t.Errorf("with another token %s does not end: %v", streams[i], err)
		}
	}
	if got := session(); got != http.StatusUnauthorized {
		t.Errorf("with another token the session is answered with %d", got)
	}
	if answer, _ := v.ask("POST", "/page/login", "token="+secret, nil); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("the old token is answered with %d", answer.StatusCode)
	}
	if answer, _ := v.ask("POST", "/page/login", "token="+strings.Repeat("1", 64), nil); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("the new token is answered with %d", answer.StatusCode)
	}
}

// doings are requests that change something or tell something.
var doings = []struct{ method, path, form string }{
	{"POST", "/page/daemons/consul/stop", ""},
	{"POST", "/page/daemons/consul/start", ""},
	{"POST", "/page/peers", "name=mallory"},
	{"POST", "/page/peers/alice-laptop/remove", ""},
	{"POST", "/page/peers/alice-laptop/disable", ""},
	{"POST", "/page/explain", "name=python"},
	{"POST", "/page/logout", ""},
}

// TestStrangersGetNothing tries everything without a cookie, or with one that is wrong.
func TestStrangersGetNothing(t *testing.T) {
	t.Parallel()
	v, w := newVisitor(t)
	v.login()
	good := v.cookie.Value
	flipped := []byte(good)
	flipped[len(flipped)/2] ^= 1
	later, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	later[3]++ // of the time
	other := newSessions(strings.Repeat("1", 64), time.Now).cookie(false).Value
	nobody := newSessions("", time.Now).cookie(false).Value
	for name, value := range map[string]string{
		"no": "", "a changed": string(flipped), "a longer lasting": base64.RawURLEncoding.EncodeToString(later), "a cut": good[:len(good)-2], "another host's": other,
		"nobody's": nobody, "the token as": secret, "padded": good + "=",
	} {
		v.cookie = &http.Cookie{Name: cookieName, Value: value}
		for _, d := range append(doings, struct{ method, path, form string }{"GET", "/page/events", ""}, struct{ method, path, form string }{"GET", "/page/daemons/consul/log", ""}, struct{ method, path, form string }{"GET", "/page/session", ""}) {
			if answer, body := v.ask(d.method, d.path, d.form, nil); answer.StatusCode != http.StatusUnauthorized {
				t.Errorf("with %s cookie %s is answered with %d %s", name, d.path, answer.StatusCode, body)
			}
		}
	}
	// The cookie opens the page, and nothing else.
	v.cookie = &http.Cookie{Name: cookieName, Value: good}
	for _, path := range []string{"/api/v1/status", "/metrics", "/api/v1/daemons/consul"} {
		if answer, _ := v.ask("GET", path, "", nil); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("with the cookie %s is answered with %d", path, answer.StatusCode)
		}
	}
	w.set(func(w *world) {
		if len(w.calls) > 0 || len(w.supervisor.Calls()) > 0 {
			t.Errorf("strangers did %q %q", w.calls, w.supervisor.Calls())
		}
	})
}

// TestOtherPagesGetNothing has the cookie, as a browser has.
func TestOtherPagesGetNothing(t *testing.T) {
	t.Parallel()
	v, w := newVisitor(t)
	v.login()
	right := v.proof
	edits := map[string]func(*http.Request){
		"no proof":                func(r *http.Request) { r.Header.Del(proofHeader) },
		"a wrong proof":           func(r *http.Request) { r.Header.Set(proofHeader, right+"x") },
		"the proof in the form":   func(r *http.Request) { r.Header.Del(proofHeader); r.URL.RawQuery = "proof=" + right },
		"another site":            func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
		"a sandboxed page":        func(r *http.Request) { r.Header.Set("Origin", "null") },
		"another port":            func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"a name that was rebound": func(r *http.Request) { r.Host = "evil.example" },
		"a form that navigates": func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			r.Header.Set("Sec-Fetch-Dest", "document")
		},
	}
	for name, edit := range edits {
		for _, d := range doings {
			if answer, body := v.ask(d.method, d.path, d.form, edit); answer.StatusCode != http.StatusForbidden && answer.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("%s: %s is answered with %d %s", name, d.path, answer.StatusCode, body)
			}
		}
	}
	w.set(func(w *world) {
		if len(w.calls) > 0 || len(w.supervisor.Calls()) > 0 {
			t.Errorf("other pages did %q %q", w.calls, w.supervisor.Calls())
		}
	})
	// A link may lead here, an image or a frame may not; and it shows no more than anybody sees.
	from := func(mode, dest string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", mode)
			r.Header.Set("Sec-Fetch-Dest", dest)
		}
	}
	for _, test := range []struct {
		path, mode, dest string
		want             int
	}{
		{"/page/", "navigate", "document", http.StatusOK},
		{"/", "navigate", "document", http.StatusSeeOther},
		{"/page/", "navigate", "iframe", http.StatusForbidden},
		{"/page/", "no-cors", "image", http.StatusForbidden},
		{"/page/events", "navigate", "document", http.StatusForbidden},
		{"/page/session", "navigate", "document", http.StatusForbidden},
		{"/healthz", "navigate", "document", http.StatusForbidden},
	} {
		if answer, _ := v.ask("GET", test.path, "", from(test.mode, test.dest)); answer.StatusCode != test.want {
			t.Errorf("%s as %s is answered with %d, want %d", test.path, test.dest, answer.StatusCode, test.want)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	v, _ := newVisitor(t)
	v.login()
	for _, path := range []string{"/page/", "/page/script.js", "/page/style.css", "/page/login.js", "/page/session", "/page/nowhere", "/"} {
		answer, body := v.ask("GET", path, "", nil)
		h := answer.Header
		if h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || h.Get("Cross-Origin-Opener-Policy") != "same-origin" {
			t.Errorf("%s comes with %v", path, h)
		}
		if strings.Contains(body, " style=") || strings.Contains(body, " onclick=") || strings.Contains(body, "<script>") {
			t.Errorf("%s has something inline", path)
		}
	}
	for _, word := range []string{"unsafe", "*", "http:", "https:"} {
		if strings.Contains(policy, word) {
			t.Errorf("the policy allows %s", word)
		}
	}
	for _, path := range []string{"/page/../api/v1/status", "/page//", "/page/./", "/page/%2e%2e/x", "/page/daemons/../events"} {
		answer, _ := v.ask("GET", "/", "", func(r *http.Request) { r.URL.Opaque = path })
		if answer.StatusCode < 400 {
			t.Errorf("%s is answered with %d", path, answer.StatusCode)
		}
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	v, w := newVisitor(t)
	v.login()
	message := func(body string) string {
		var m struct{ Message, Error, Text string }
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		return m.Message + m.Error + m.Text
	}
	try := func(path, form string, code int, want string) {
		t.Helper()
		answer, body := v.ask("POST", path, form, nil)
		if answer.StatusCode != code || !strings.Contains(message(body), want) {
			t.Errorf("%s is answered with %d %s, want %d %q", path, answer.StatusCode, body, code, want)
		}
	}
	try("/page/daemons/consul/restart", "", 200, "consul has been restarted")
	try("/page/daemons/nothing/restart", "", 404, "no such daemon")
	try("/page/daemons/consul/eat", "", 404, "no such daemon or action")
	try("/page/peers/nobody/remove", "", 409, "no such peer")
	try("/page/peers/alice-laptop/eat", "", 404, "no such action")
	try("/page/peers", "name=", 400, "needs a name")
	try("/page/explain", "name=", 400, "write a name")
	try("/page/explain", "name="+url.QueryEscape("a b"), 400, "without blanks")
	try("/page/explain", "name=a%0ab", 400, "without blanks")
	try("/page/explain", "name="+strings.Repeat("a", 600), 400, "write a name")
	try("/page/explain", "name=python", 200, "python goes to Consul")
	try("/page/explain", "name=fail", 409, "cannot be explained")
	if answer, _ := v.ask("POST", "/page/peers", "name="+strings.Repeat("a", 2*bodyBytes), nil); answer.StatusCode == 200 {
		t.Error("a form may be as large as it likes")
	}
	if diff := cmp.Diff([]string{"restart consul"}, w.supervisor.Calls()); diff != "" {
		t.Errorf("what was done:\n%s", diff)
	}
}

// TestAssets are whole and not minified: who reads the script may judge it.
func TestAssets(t *testing.T) {
	t.Parallel()
	v, _ := newVisitor(t)
	for path, kind := range map[string]string{"script.js": "text/javascript; charset=utf-8", "style.css": "text/css; charset=utf-8"} {
		answer, body := v.ask("GET", "/page/"+path, "", nil)
		want, err := os.ReadFile("assets/" + path)
		if err != nil || body != string(want) || answer.Header.Get("Content-Type") != kind {
			t.Errorf("%s comes as %s, %v", path, answer.Header.Get("Content-Type"), err)
		}
	}
}

// TestLoginWhileTheTokenChanges: the old token never opens a session that the new one keeps.
func TestLoginWhileTheTokenChanges(t *testing.T) {
	t.Parallel()
	served := newWorld(t).serve(t, "")
	old := newSessions(secret, time.Now)
	done := make(chan struct{})
	var changing sync.WaitGroup
	changing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				served.page.SetToken([]string{secret, strings.Repeat("1", 64)}[i%2])
			}
		}
	})
	defer changing.Wait()
	defer close(done)
	for let := 0; let < 5000; {
		r := httptest.NewRequest("POST", "/page/login", strings.NewReader("token="+secret))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		served.page.ServeHTTP(w, r)
		answer := w.Result()
		if answer.StatusCode != http.StatusSeeOther {
			continue
		}
		let++
		if _, ok := old.parse(answer.Cookies()[0].Value); !ok {
			t.Fatalf("login %d: the old token was given a cookie of the new one", let)
		}
	}
}
