package page

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"time"
)

const (
	cookieName = "panteras_session"
	// sessionTime is how long a cookie is good for.
	sessionTime = 7 * 24 * time.Hour
	nonceBytes  = 16
)

// sessions makes and checks cookies. They are signed with a key that follows from the
// token, so that they outlive the launcher, and none of them outlives the token.
type sessions struct {
	token [sha256.Size]byte
	none  bool // there is no token, and nobody is let in
	key   []byte
	now   func() time.Time
	ended chan struct{} // closed when the token is another one
}

func newSessions(token string, now func() time.Time) *sessions {
	return &sessions{token: sha256.Sum256([]byte(token)), none: token == "", key: mac([]byte(token), "sessions of the status page"), now: now, ended: make(chan struct{})}
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(text))
	return h.Sum(nil)
}

// right tells whether a token is the right one, in a time that does not depend on it.
func (s *sessions) right(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1 && !s.none
}

// session is one that was let in.
type session struct {
	id      string
	expires time.Time
	ended   <-chan struct{}
}

// cookie makes a new one.
func (s *sessions) cookie(secure bool) *http.Cookie {
	id := binary.BigEndian.AppendUint64(nil, uint64(s.now().Add(sessionTime).Unix()))
	nonce := make([]byte, nonceBytes)
	_, _ = rand.Read(nonce) // never fails
	id = append(id, nonce...)
	value := base64.RawURLEncoding.EncodeToString(append(id, mac(s.key, "session "+string(id))...))
	return s.crumb(value, int(sessionTime/time.Second), secure)
}

// crumb is the cookie with a value. Its path keeps it from servers at other ports of the
// host, to which browsers would send it too.
func (*sessions) crumb(value string, age int, secure bool) *http.Cookie {
	return &http.Cookie{Name: cookieName, Value: value, Path: root, MaxAge: age, HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode}
}

// of is the session of a request. Of several cookies, which somebody else on this host
// may have set, one must be right.
func (s *sessions) of(r *http.Request) (session, bool) {
	for _, c := range r.CookiesNamed(cookieName) {
		if one, ok := s.parse(c.Value); ok {
			return one, true
		}
	}
	return session{}, false
}

func (s *sessions) parse(value string) (session, bool) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(text) != 8+nonceBytes+sha256.Size || s.none {
		return session{}, false
	}
	id, sum := text[:8+nonceBytes], text[8+nonceBytes:]
	if !hmac.Equal(sum, mac(s.key, "session "+string(id))) {
		return session{}, false
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(id)), 0)
	return session{string(id), expires, s.ended}, s.now().Before(expires)
}

// proof is what a page of ours knows and no other page: a request that changes
// something must show it.
func (s *sessions) proof(one session) string {
	return base64.RawURLEncoding.EncodeToString(mac(s.key, "proof "+one.id))
}

func (s *sessions) proves(one session, shown string) bool {
	return hmac.Equal([]byte(shown), []byte(s.proof(one)))
}
