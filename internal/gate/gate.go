// Package gate takes the decision: may this request go on, as whom, and if
// not, why. It does not forward, log or measure anything.
package gate

import (
	"net/http"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/route"
)

// Gate decides on the requests of one handler.
type Gate struct {
	auth  *Authenticator
	table *route.Table
	// preflight lets CORS preflights through without a key.
	preflight bool
}

// Options are what a Gate is made of.
type Options struct {
	Authenticator *Authenticator
	Table         *route.Table
	Preflight     bool
}

// New returns a Gate.
func New(o Options) *Gate {
	return &Gate{auth: o.Authenticator, table: o.Table, preflight: o.Preflight}
}

// Strip removes the credentials from r.
func (g *Gate) Strip(r *http.Request) { g.auth.Strip(r) }

// StripOwn removes from r the credentials that have the form of ours.
func (g *Gate) StripOwn(r *http.Request) { g.auth.StripOwn(r) }

// Decide decides on r at now, which is read from the clock once a request.
// Where the access depends on the body, it reads the body and puts it back,
// byte for byte. For a key that is remembered it does not allocate.
//
// The order is the contract's: what could be misread is refused before
// anything is decided, cheap checks come before dear ones, and the body is
// read only for a caller who is known.
func (g *Gate) Decide(r *http.Request, now time.Time) (d Decision) {
	if !route.MethodAllowed(r) {
		d.Outcome = MethodNotAllowed
		return d
	}
	if reason := route.AmbiguousURL(r.URL); reason != "" {
		return refuse(AmbiguousRequest, reason)
	}
	// All that the headers say is read in one pass: it costs as much as two or
	// three look-ups.
	var headers route.Headers
	var credential presented
	places := &g.auth.credentials
	for name, values := range r.Header {
		headers.Note(r.Method, name, values)
		if places.lengths&lengthBit(name) != 0 {
			places.findInHeader(&credential, name, values)
		}
	}
	places.findInQuery(&credential, r.URL.RawQuery)
	if reason := headers.Fault(); reason != "" {
		return refuse(AmbiguousRequest, reason)
	}
	if credential.count > 1 {
		return refuse(AmbiguousRequest, severalCredentials)
	}
	upgrade := headers.Upgrade(r)
	match, matched := g.table.Match(r.Method, r.URL.Path, upgrade)
	if reason := g.ambiguousFor(r, upgrade, &match, matched); reason != "" {
		return refuse(AmbiguousRequest, reason)
	}
	if matched && (match.Public || g.preflight && isPreflight(r)) {
		d.Outcome, d.Public = Allowed, true
		return d
	}
	if credential.count == 0 {
		d.Outcome, d.Reason = MissingKey, g.auth.howTo
		return d
	}
	g.auth.judge(&d, r, credential.text, now)
	switch {
	case d.Outcome != Allowed:
	case !matched:
		d.Outcome = NoSuchAPI
	default:
		g.judgeAccess(&d, r, &match)
	}
	return d
}

// ambiguousFor refuses what only the matched route makes ambiguous.
func (g *Gate) ambiguousFor(r *http.Request, upgrade route.Upgrade, m *route.Match, matched bool) string {
	if upgrade == route.OtherUpgrade {
		return "an upgrade to anything but a WebSocket can't be checked"
	}
	if !matched {
		return ""
	}
	if upgrade != route.NoUpgrade && m.Public {
		return "an upgrade on a public path can't be checked"
	}
	if isReadPost(r, m) && route.MethodInQuery(r) {
		return "a _method parameter could turn this request into another one"
	}
	return ""
}

// isReadPost reports whether a rule counts this POST as a read: upstreams that
// take the method from a parameter would then be let do what only write may.
func isReadPost(r *http.Request, m *route.Match) bool {
	return r.Method == http.MethodPost && !m.Public && !m.Body && m.Access == permission.Read
}

// judgeAccess compares what the request needs with what the key gives. d is
// the decision on the caller.
func (g *Gate) judgeAccess(d *Decision, r *http.Request, m *route.Match) {
	needs, outcome, reason := g.needs(r, d.Key, m)
	d.weigh(m, needs)
	if outcome != Allowed {
		d.Outcome, d.Reason = outcome, reason
	}
}

// weigh fills in what the request needs, and what the key has on what the
// path is for.
func (d *Decision) weigh(m *route.Match, needs permission.Access) {
	target, has := m.Granted(&d.Key.Permissions)
	d.API, d.Endpoint = target.API.Name, target.Endpoint
	d.Needs, d.Has = needs, has
	d.further = targets(m)
	if has < needs {
		d.Outcome = InsufficientAccess
	}
}

// needs returns the access that r needs, reading its body where that decides.
func (g *Gate) needs(r *http.Request, key *keys.Identity, m *route.Match) (permission.Access, Outcome, string) {
	if m.Body {
		return g.needsOfBody(r, key, m)
	}
	if isReadPost(r, m) && route.IsForm(r) {
		body, outcome, reason := readBody(r, route.DefaultMaxBody)
		if outcome != Allowed {
			return m.Access, outcome, reason
		}
		if route.MethodInForm(r, body) {
			return m.Access, AmbiguousRequest, "a _method parameter could turn this request into another one"
		}
	}
	return m.Access, Allowed, ""
}

func (g *Gate) needsOfBody(r *http.Request, key *keys.Identity, m *route.Match) (permission.Access, Outcome, string) {
	if _, has := m.Granted(&key.Permissions); has == permission.None && r.Header.Get("Expect") != "" {
		// The client waits for leave to send the body, and will be refused
		// whatever it holds.
		return max(m.Access, permission.Read), Allowed, ""
	}
	body, outcome, reason := readBody(r, m.API.MaxBody())
	if outcome != Allowed {
		return m.Access, outcome, reason
	}
	access, err := m.API.Classify(r, body)
	if err != nil {
		return m.Access, UnreadableBody, err.Error()
	}
	return max(access, m.Access), Allowed, ""
}

// isPreflight reports whether r is a CORS preflight (Fetch standard, section
// 4.8: OPTIONS with Origin and Access-Control-Request-Method).
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions &&
		len(r.Header["Origin"]) == 1 && len(r.Header["Access-Control-Request-Method"]) == 1
}
