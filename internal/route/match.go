package route

import (
	"net/http"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// Match is what a request is for.
type Match struct {
	// Public says that no key is needed. API is nil then.
	Public bool
	API    *API
	// Endpoint is the endpoint captured from the path or declared; "" if the
	// path belongs to none.
	Endpoint string
	// Access is what the request needs, at least, by its method and the
	// rules.
	Access permission.Access
	// Body says that the request needs the higher of Access and of what
	// API.Classify says of it.
	Body bool

	also furtherTargets
}

// Target is an API, and the endpoint in it or "".
type Target struct {
	API      *API
	Endpoint string
}

// Granted returns the access that a key with the given permissions has on
// what the request is for, and on which target: where several are in question
// (see Also), the one on which it has least.
func (m *Match) Granted(permissions *permission.Set) (Target, permission.Access) {
	if m.API == nil {
		return Target{}, permission.None
	}
	least := Target{m.API, m.Endpoint}
	has := permissions.For(m.API.Name, m.Endpoint)
	for _, t := range m.Also() {
		if on := permissions.For(t.API.Name, t.Endpoint); on < has {
			least, has = t, on
		}
	}
	return least, has
}

// Also returns further targets, to which a key needs the access as well: those
// that an upstream could take the path for which ignores letter case or a
// trailing slash, and that patterns more specific than the matching one claim.
// The path /rest/users/ matches /rest/* only, but many an upstream serves it
// as /rest/users; if that is an endpoint of its own, a request needs access to
// both. A path that matches a public pattern but could be taken for an API's
// is the API's. There are none for the paths that ordinary clients send.
func (m *Match) Also() []Target { return m.also.targets[:m.also.n] }

// furtherTargets is bounded so that a Match needs no allocation.
type furtherTargets struct {
	targets [3]Target
	n       int
}

// candidates are the claims that match a path: the most specific of those
// that match exactly, and those that only match loosely.
type candidates struct {
	exact *claim
	loose [6]*claim
	n     int
	full  bool
}

// Match finds what a path is for: the most specific of the patterns that match
// it decides. The path is the decoded one, which Ambiguous has let pass. It
// returns false where no pattern matches, and also where the most specific one
// captures what is no endpoint id: falling back to a broader pattern, perhaps a
// public one, would let a caller choose which pattern applies.
//
// It does not allocate, and costs a map look-up a segment.
func (t *Table) Match(method, text string, upgrade Upgrade) (m Match, matched bool) {
	if len(text) == 0 || text[0] != '/' {
		return m, false
	}
	p := newPath(text)
	var found candidates
	t.paths.walk(&p, func(l *leaf, exact bool) bool {
		found.add(&t.claims[l.index], exact)
		return true
	})
	if found.exact == nil || found.full {
		return m, false
	}
	first, ok := found.exact.target(&p)
	if !ok {
		return m, false
	}
	m.API, m.Endpoint = first.API, first.Endpoint
	if found.n > 0 && !m.addLoose(&found, &p) {
		return Match{}, false
	}
	if m.API == nil {
		m.Public = true
		return m, true
	}
	m.judge(method, &p, upgrade)
	return m, true
}

func (c *candidates) add(found *claim, exact bool) {
	switch {
	case exact && c.exact == nil:
		c.exact = found // the walk visits the most specific first
	case exact || found.api == nil || c.exact != nil && !found.carvesOut(c.exact) || c.has(found):
	case c.n == len(c.loose):
		c.full = true
	default:
		c.loose[c.n] = found
		c.n++
	}
}

// carvesOut reports whether c, matching loosely, has a say beside the claim
// that matches exactly. One that is as broad or broader has none: the exact
// one was declared beside it or within it on purpose.
func (c *claim) carvesOut(exact *claim) bool {
	r := compareLoosely(c.pattern, exact.pattern)
	return r != equal && r != broader
}

// has reports whether a more specific claim with the same target is there. Of
// two claims that match one path and capture the same segment, or none, one
// lies within the other, and the walk visited that one first.
func (c *candidates) has(found *claim) bool {
	for _, l := range c.loose[:c.n] {
		if l.api == found.api && l.endpoint == found.endpoint && l.capture == found.capture {
			return true
		}
	}
	return false
}

// target returns what a claim that matches the path stands for. It reports
// false where the path's endpoint is none.
func (c *claim) target(p *requestPath) (Target, bool) {
	if c.capture < 0 {
		return Target{c.api, c.endpoint}, true
	}
	id := p.segment(c.capture)
	return Target{c.api, id}, ValidEndpoint(id)
}

// addLoose adds the targets of the loosely matching claims. It reports
// false where they are too many to be judged.
func (m *Match) addLoose(found *candidates, p *requestPath) bool {
	for _, c := range found.loose[:found.n] {
		if !c.carvesOut(found.exact) {
			continue
		}
		target, ok := c.target(p)
		if !ok || !m.addTarget(target) {
			return false
		}
	}
	return true
}

func (m *Match) addTarget(t Target) bool {
	if m.API == nil {
		m.API, m.Endpoint = t.API, t.Endpoint
		return true
	}
	if t.API == m.API && t.Endpoint == m.Endpoint {
		return true
	}
	for _, s := range m.Also() {
		if s == t {
			return true
		}
	}
	if m.also.n == len(m.also.targets) {
		return false
	}
	m.also.targets[m.also.n] = t
	m.also.n++
	return true
}

// judge sets the access that is needed: the highest that one of the targets
// asks for.
func (m *Match) judge(method string, p *requestPath, upgrade Upgrade) {
	m.Access, m.Body = m.API.access(method, p, upgrade)
	for _, t := range m.Also() {
		if t.API == m.API {
			continue
		}
		access, body := t.API.access(method, p, upgrade)
		if body {
			access = permission.Write // one body can't be judged by two APIs
		}
		m.Access = max(m.Access, access)
	}
}

// access returns what the method and the rules ask for, and whether the body
// has a say.
func (a *API) access(method string, p *requestPath, upgrade Upgrade) (permission.Access, bool) {
	switch {
	case a.GRPC != nil && upgrade == NoUpgrade:
		// The name decides; a write rule raises it.
		return a.rules.judge(method, p, a.names.readsGRPC(method, p.text), false), false
	case upgrade != NoUpgrade || !a.byBody():
		// A WebSocket carries its operations later: the upgrade itself is judged.
		return a.rules.access(method, p, upgrade), false
	case a.JSONRPC != nil && method != http.MethodPost && method != http.MethodGet:
		return permission.Write, false // whatever its body says
	}
	// The body decides; a write rule raises it, whatever the method.
	return a.rules.judge(method, p, true, false), true
}
