package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// SessionCookie is the name of the cookie that names a session. Nothing but
// the console and the admin API shall see it.
const SessionCookie = "keywarden_session"

const (
	// sessionTime bounds a session however busy it is; sessionIdle ends the
	// one that somebody forgot to end.
	sessionTime = 12 * time.Hour
	sessionIdle = 30 * time.Minute
	// maxSessions bounds memory: only holders of admin keys open sessions, but
	// one of them may be a script that never ends any.
	maxSessions = 10_000
)

// Sessions are the console's sessions on this node, and how often each address
// has tried wrong keys. They stay in memory: a restart ends them. A session
// holds no secret, but the digest of the admin key that opened it, by which
// the key is judged anew at each request.
type Sessions struct {
	mu    sync.Mutex
	open  map[keys.Digest]*session // by the SHA-256 of the cookie
	swept time.Time                // when what is over was last dropped
	attempts
}

type session struct {
	key        keys.Digest
	begun, met time.Time
}

// NewSessions returns Sessions without any.
func NewSessions() *Sessions {
	return &Sessions{open: map[keys.Digest]*session{}, attempts: attempts{byAddress: map[string]*attempt{}}}
}

// Site is where browsers see the console, which decides whom they show its
// cookie.
type Site struct {
	Path  string // "/", or where a prefix is stripped before us: "/admin/"
	HTTPS bool
}

// Open begins a session for whoever presented the secret, which the caller
// has had judged, and gives the browser its cookie. An earlier session of the
// same browser ends.
func (s *Sessions) Open(w http.ResponseWriter, r *http.Request, secret string, site Site, now time.Time) error {
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return err
	}
	id := base64.RawURLEncoding.EncodeToString(raw[:])
	s.mu.Lock()
	if name, ok := sessionOf(r); ok {
		delete(s.open, name)
	}
	s.makeRoom(now)
	s.open[sha256.Sum256([]byte(id))] = &session{key: sha256.Sum256([]byte(secret)), begun: now, met: now}
	s.mu.Unlock()
	setCookie(w, id, site, 0)
	return nil
}

// Close ends the session of r, if it has one, and takes the cookie back.
func (s *Sessions) Close(w http.ResponseWriter, r *http.Request, site Site) {
	s.end(r)
	setCookie(w, "", site, -1)
}

// setCookie gives the browser the cookie, or takes it back where age is
// negative. Over plain HTTP, as on a loopback address, it can't be Secure: the
// browser would not send it.
func setCookie(w http.ResponseWriter, id string, site Site, age int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // see above
		Name: SessionCookie, Value: id, Path: site.Path, Secure: site.HTTPS, MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

// find returns the digest of the admin key whose session r belongs to.
func (s *Sessions) find(r *http.Request, now time.Time) (keys.Digest, bool) {
	name, ok := sessionOf(r)
	if !ok {
		return keys.Digest{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.open[name]
	if found == nil {
		return keys.Digest{}, false
	}
	if found.over(now) {
		delete(s.open, name)
		return keys.Digest{}, false
	}
	found.met = now
	return found.key, true
}

func (s *Sessions) end(r *http.Request) {
	if name, ok := sessionOf(r); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, name)
	}
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.begun) >= sessionTime || now.Sub(s.met) >= sessionIdle
}

// makeRoom drops what is over and, if that is not enough, the session that
// has been idle longest; s.mu is held.
func (s *Sessions) makeRoom(now time.Time) {
	const sweepEvery = time.Minute // looking at 10 000 sessions takes a while
	if len(s.open) < maxSessions && now.Sub(s.swept) < sweepEvery {
		return
	}
	s.swept = now
	var oldest keys.Digest
	var idlest *session
	for name, one := range s.open {
		if one.over(now) {
			delete(s.open, name)
			continue
		}
		if idlest == nil || one.met.Before(idlest.met) {
			oldest, idlest = name, one
		}
	}
	if len(s.open) >= maxSessions {
		delete(s.open, oldest)
	}
}

// sessionOf returns the name of the session in the cookie. It is looked up by
// its hash, so that the time of an answer tells nothing about other sessions.
// Two cookies are none: a site on a sibling domain could have set one of them.
func sessionOf(r *http.Request) (keys.Digest, bool) {
	cookies := r.CookiesNamed(SessionCookie)
	if len(cookies) != 1 || cookies[0].Value == "" {
		return keys.Digest{}, false
	}
	return sha256.Sum256([]byte(cookies[0].Value)), true
}
