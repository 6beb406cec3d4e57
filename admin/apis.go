package admin

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// listAPIs is GET /v1/apis.
func (a *api) listAPIs(c *call) (any, error) {
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	registered, err := a.Store.Endpoints(c.ctx)
	if err != nil {
		return nil, err
	}
	others, err := a.Store.Declared(c.ctx, a.nodeID())
	if err != nil {
		return nil, err
	}
	list := APIList{Data: []API{}}
	for _, declared := range merge(a.Catalog().APIs(), others) {
		list.Data = append(list.Data, showAPI(declared, registered))
	}
	return list, nil
}

// merge adds what other nodes declare. An API that stands in several
// configurations is one API; of two titles this node's counts.
func merge(own []gate.API, others []keys.Declared) []gate.API {
	all := slices.Clone(own)
	for _, other := range others {
		i := slices.IndexFunc(all, func(a gate.API) bool { return a.Name == other.Name })
		if i < 0 {
			i = len(all)
			all = append(all, gate.API{Name: other.Name})
		}
		all[i].Title = cmp.Or(all[i].Title, other.Title)
		all[i].Patterns = union(all[i].Patterns, other.Patterns)
		all[i].Endpoints = union(all[i].Endpoints, other.Endpoints)
	}
	slices.SortFunc(all, func(a, b gate.API) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// union returns some, and what others has besides.
func union(some, others []string) []string {
	out := slices.Clone(some)
	for _, other := range others {
		if !slices.Contains(out, other) {
			out = append(out, other)
		}
	}
	return out
}

// declared is what other nodes declare, or why they could not be asked.
type declared struct {
	apis []keys.Declared
	err  error
}

// declares reports whether this node or another one declares the API. The
// others are asked for what this one does not know, once a call; if they
// can't be, c.fault says so.
func (a *api) declares(c *call, name string) bool {
	if a.Catalog().Declares(name) {
		return true
	}
	if c.others == nil {
		c.others = &declared{}
		c.others.apis, c.others.err = a.Store.Declared(c.ctx, a.nodeID())
	}
	return slices.ContainsFunc(c.others.apis, func(d keys.Declared) bool { return d.Name == name })
}

// fault is what keeps the call from being done: that other nodes could not be
// asked whether what seems to be wrong is so, or that it is.
func (c *call) fault() error {
	if c.others != nil && c.others.err != nil {
		return c.others.err
	}
	return c.faults.err()
}

// showAPI returns a declared API with its endpoints, declared and registered.
// What is registered for an API that is not declared any more stays unseen.
func showAPI(declared gate.API, registered []keys.Endpoint) API {
	titles := map[string]string{}
	for _, id := range declared.Endpoints {
		titles[id] = ""
	}
	for _, e := range registered {
		if e.API == declared.Name {
			titles[e.ID] = e.Title
		}
	}
	out := API{Name: declared.Name, Title: declared.Title, Patterns: declared.Patterns, Endpoints: []EndpointInfo{}}
	if out.Patterns == nil {
		out.Patterns = []string{}
	}
	for id, title := range titles {
		out.Endpoints = append(out.Endpoints, EndpointInfo{ID: id, Title: title})
	}
	slices.SortFunc(out.Endpoints, func(x, y EndpointInfo) int { return strings.Compare(x.ID, y.ID) })
	return out
}

// putEndpoint is PUT /v1/apis/{api}/endpoints/{endpoint}.
func (a *api) putEndpoint(c *call) (any, error) {
	object, _ := c.body.(map[string]any)
	endpoint := keys.Endpoint{API: c.path["api"], ID: c.path["endpoint"], Title: strings.TrimSpace(text(object["title"]))}
	if !isEndpointID(endpoint.ID) {
		c.faults.add("endpoint", "expected 1 to 128 characters, no slash, no control characters")
	}
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	if !a.declares(c, endpoint.API) {
		return nil, cmp.Or(c.fault(), error(errNoSuchAPI))
	}
	if err := a.Store.PutEndpoint(c.ctx, a.by(c), endpoint); err != nil {
		return nil, err
	}
	return EndpointInfo{ID: endpoint.ID, Title: endpoint.Title}, nil
}

// deleteEndpoint is DELETE /v1/apis/{api}/endpoints/{endpoint}. The API need
// not be declared any more: what it left behind can be cleared away.
func (a *api) deleteEndpoint(c *call) (any, error) {
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	name, id := c.path["api"], c.path["endpoint"]
	if !isEndpointID(name) || !isEndpointID(id) {
		return nil, errNoSuchEndpoint
	}
	err := a.Store.DeleteEndpoint(c.ctx, a.by(c), name, id)
	if errors.Is(err, keys.ErrNoSuchKey) {
		return nil, errNoSuchEndpoint
	}
	return nil, err
}

// isEndpointID reports whether a segment of the path can be an endpoint's id.
// Whatever else names something in a path keeps to the same.
func isEndpointID(id string) bool {
	n := utf8.RuneCountInString(id)
	return n >= 1 && n <= maxEndpointID && utf8.ValidString(id) &&
		!strings.ContainsFunc(id, func(r rune) bool { return r == '/' || unicode.IsControl(r) })
}

const maxEndpointID = 128
