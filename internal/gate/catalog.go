package gate

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/route"
)

// API is a declared API, as consoles list it.
type API struct {
	Name, Title string
	Patterns    []string // of all handlers that declare it, in their order
	Endpoints   []string // declared with "endpoint NAME", sorted
}

// Catalog is all gates of a configuration together. An API that stands in
// several of them is one API.
type Catalog struct{ gates []*Gate }

// NewCatalog returns the catalogue of the given gates.
func NewCatalog(gates ...*Gate) *Catalog { return &Catalog{gates: slices.Clone(gates)} }

// APIs returns the declared APIs, sorted by name.
func (c *Catalog) APIs() []API {
	byName := map[string]*API{}
	for _, g := range c.gates {
		for _, declared := range g.table.APIs() {
			a := byName[declared.Name]
			if a == nil {
				a = &API{Name: declared.Name}
				byName[declared.Name] = a
			}
			a.add(declared)
		}
	}
	list := make([]API, 0, len(byName))
	for _, a := range byName {
		slices.Sort(a.Endpoints)
		a.Endpoints = slices.Compact(a.Endpoints)
		list = append(list, *a)
	}
	slices.SortFunc(list, func(a, b API) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (a *API) add(declared *route.API) {
	if a.Title == "" {
		a.Title = declared.Title
	}
	for _, e := range declared.Endpoints {
		a.Endpoints = append(a.Endpoints, e.Name)
	}
	for _, p := range declared.Patterns() {
		if !slices.Contains(a.Patterns, p) {
			a.Patterns = append(a.Patterns, p)
		}
	}
}

// Declares reports whether an API of that name is declared.
func (c *Catalog) Declares(api string) bool {
	return slices.ContainsFunc(c.gates, func(g *Gate) bool {
		return slices.ContainsFunc(g.table.APIs(), func(a *route.API) bool { return a.Name == api })
	})
}

// Check returns the decision on a request by the key, as far as its method
// and target tell: a request whose access depends on its body is judged as a
// write, the most that it may turn out to be. Where several gates match the
// path, all must allow it. id is nil for an unknown key.
//
// from is the client's address; "": where the key may be used from is not
// judged.
func (c *Catalog) Check(id *keys.Identity, method, target, from string, now time.Time) Decision {
	r, err := requestFor(method, target)
	if err != nil {
		return refuse(AmbiguousRequest, "the path is not one that a request can have")
	}
	if !route.MethodAllowed(r) {
		return Decision{Outcome: MethodNotAllowed}
	}
	if reason := route.Ambiguous(r); reason != "" {
		return refuse(AmbiguousRequest, reason)
	}
	result := judgeFrom(id, from, now)
	callerAllowed := result.Outcome == Allowed
	if callerAllowed {
		result.Outcome = NoSuchAPI
	}
	for _, g := range c.gates {
		d, matched := g.check(r, id, from, now)
		if !matched {
			continue
		}
		// The first match replaces "no such API"; after that only a refusal counts.
		if first := result.Outcome == NoSuchAPI || !callerAllowed; first || d.Outcome != Allowed {
			result = d
		}
		if d.Outcome != Allowed {
			break
		}
	}
	return result
}

// check is what Decide does, without credentials and body.
func (g *Gate) check(r *http.Request, id *keys.Identity, from string, now time.Time) (Decision, bool) {
	m, matched := g.table.Match(r.Method, r.URL.Path, route.NoUpgrade)
	if !matched {
		return Decision{}, false
	}
	if reason := g.ambiguousFor(r, route.NoUpgrade, &m, true); reason != "" {
		return refuse(AmbiguousRequest, reason), true
	}
	if m.Public {
		return Decision{Outcome: Allowed, Public: true}, true
	}
	d := judgeFrom(id, from, now)
	if d.Outcome != Allowed {
		return d, true
	}
	if !m.Body {
		d.weigh(&m, m.Access)
		return d, true
	}
	if r.Method == http.MethodGet {
		access, err := m.API.Classify(r, nil)
		if err != nil {
			return refuse(UnreadableBody, err.Error()), true
		}
		d.weigh(&m, max(access, m.Access))
		return d, true
	}
	d.weigh(&m, permission.Write)
	if d.Outcome != Allowed {
		d.Reason = "the body decides what is needed; this is the most that it can be"
	}
	return d, true
}

// judgeFrom is JudgeKey, and where the address is given judges that as well.
func judgeFrom(id *keys.Identity, from string, now time.Time) Decision {
	d := JudgeKey(id, now)
	if d.Outcome == Allowed && from != "" {
		d.limitSource(from)
	}
	return d
}

// requestFor makes the request that a method and a target stand for.
func requestFor(method, target string) (*http.Request, error) {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, err
	}
	return &http.Request{Method: method, URL: u, RequestURI: target, Header: http.Header{}, Body: http.NoBody}, nil
}
