package permission

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// Set is what a key may do on the declared APIs. It never speaks of the admin
// API. The zero Set opens nothing.
//
// It is kept as sorted slices, not maps, because it lives in the cache: a
// restricted set with two APIs takes a third of the memory, and a look-up is
// a binary search that does not allocate.
type Set struct {
	Mode Mode
	// APIs is sorted by API name, each name once; empty unless Mode is
	// Restricted. Build it with NewRestricted.
	APIs []Grant
}

// Grant is the access to one API.
type Grant struct {
	API string
	// Access is given on the whole API; meaningless when ByEndpoint is set.
	Access Access
	// ByEndpoint says that Endpoints decides: the contract's access
	// "restricted". Paths that belong to no endpoint then get None.
	ByEndpoint bool
	// Endpoints is sorted by endpoint id, each once.
	Endpoints []EndpointGrant
}

// EndpointGrant is the access to one endpoint of an API.
type EndpointGrant struct {
	Endpoint string
	Access   Access
}

// NewRestricted returns the restricted set of the given grants, sorted. An
// API or an endpoint given twice is an error, as two readers could take
// different ones.
func NewRestricted(grants ...Grant) (Set, error) {
	set := Set{Mode: Restricted, APIs: slices.Clone(grants)}
	slices.SortFunc(set.APIs, func(a, b Grant) int { return cmp.Compare(a.API, b.API) })
	for i := range set.APIs {
		g := &set.APIs[i]
		if i > 0 && set.APIs[i-1].API == g.API {
			return Set{}, fmt.Errorf("api %q is listed twice", g.API)
		}
		g.Endpoints = slices.Clone(g.Endpoints)
		slices.SortFunc(g.Endpoints, func(a, b EndpointGrant) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
		for j := 1; j < len(g.Endpoints); j++ {
			if g.Endpoints[j-1].Endpoint == g.Endpoints[j].Endpoint {
				return Set{}, fmt.Errorf("endpoint %q of api %q is listed twice", g.Endpoints[j].Endpoint, g.API)
			}
		}
	}
	return set, nil
}

// For returns the access that s gives on an endpoint of an API, or on a path
// of the API that belongs to no endpoint (endpoint ""). What is not listed is
// None. It does not allocate.
func (s *Set) For(api, endpoint string) Access {
	switch s.Mode {
	case All:
		return Write
	case ReadOnly:
		return Read
	case Restricted:
	default:
		return None
	}
	g := s.grant(api)
	switch {
	case g == nil:
		return None
	case !g.ByEndpoint:
		return g.Access
	case endpoint == "":
		return None
	}
	return g.on(endpoint)
}

// few is up to how many entries are searched one by one: comparing for
// equality is cheaper than for order, as most strings differ in length.
const few = 8

// grant returns what s says of an API; nil if nothing.
func (s *Set) grant(api string) *Grant {
	if len(s.APIs) > few {
		i, ok := slices.BinarySearchFunc(s.APIs, api, func(g Grant, name string) int { return cmp.Compare(g.API, name) })
		if !ok {
			return nil
		}
		return &s.APIs[i]
	}
	for i := range s.APIs {
		if s.APIs[i].API == api {
			return &s.APIs[i]
		}
	}
	return nil
}

// on returns the access to an endpoint of a grant by endpoint.
func (g *Grant) on(endpoint string) Access {
	if len(g.Endpoints) > few {
		i, ok := slices.BinarySearchFunc(g.Endpoints, endpoint, func(e EndpointGrant, id string) int { return cmp.Compare(e.Endpoint, id) })
		if !ok {
			return None
		}
		return g.Endpoints[i].Access
	}
	for i := range g.Endpoints {
		if g.Endpoints[i].Endpoint == endpoint {
			return g.Endpoints[i].Access
		}
	}
	return None
}

// Any reports whether s gives more than None anywhere on the API.
func (s *Set) Any(api string) bool {
	if s.Mode != Restricted {
		return s.Mode == All || s.Mode == ReadOnly
	}
	g := s.grant(api)
	switch {
	case g == nil:
		return false
	case !g.ByEndpoint:
		return g.Access > None
	}
	return slices.ContainsFunc(g.Endpoints, func(e EndpointGrant) bool { return e.Access > None })
}

// setJSON is the contract's shape of permissions, in the store and the audit.
type setJSON struct {
	Mode string               `json:"mode"`
	APIs map[string]grantJSON `json:"apis,omitempty"`
}

type grantJSON struct {
	Access    string            `json:"access"`
	Endpoints map[string]Access `json:"endpoints,omitempty"`
}

const restrictedWord = "restricted"

// MarshalJSON writes the contract's shape (section 6), keys sorted.
func (s Set) MarshalJSON() ([]byte, error) {
	out := setJSON{Mode: s.Mode.String()}
	for _, g := range s.APIs {
		if out.APIs == nil {
			out.APIs = make(map[string]grantJSON, len(s.APIs))
		}
		out.APIs[g.API] = g.json()
	}
	return json.Marshal(out)
}

func (g *Grant) json() grantJSON {
	if !g.ByEndpoint {
		return grantJSON{Access: g.Access.String()}
	}
	out := grantJSON{Access: restrictedWord, Endpoints: make(map[string]Access, len(g.Endpoints))}
	for _, e := range g.Endpoints {
		out.Endpoints[e.Endpoint] = e.Access
	}
	return out
}

// UnmarshalJSON reads what MarshalJSON wrote. It is for stored sets: what a
// person sends is read by package admin, which reports every fault at once.
func (s *Set) UnmarshalJSON(data []byte) (err error) {
	*s, err = Parse(string(data))
	return err
}

func (s *Set) unmarshal(data []byte) error {
	var in setJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("reading permissions: %w", err)
	}
	mode, err := ParseMode(in.Mode)
	if err != nil {
		return err
	}
	if mode != Restricted {
		if len(in.APIs) > 0 {
			return fmt.Errorf("permissions of mode %s list apis, which only restricted does", mode)
		}
		*s = Set{Mode: mode}
		return nil
	}
	grants := make([]Grant, 0, len(in.APIs))
	for name, g := range in.APIs {
		grant, err := g.grant(name)
		if err != nil {
			return err
		}
		grants = append(grants, grant)
	}
	set, err := NewRestricted(grants...)
	if err != nil {
		return err
	}
	*s = set
	return nil
}

func (g grantJSON) grant(api string) (Grant, error) {
	if g.Access != restrictedWord {
		access, err := ParseAccess(g.Access)
		return Grant{API: api, Access: access}, err
	}
	out := Grant{API: api, ByEndpoint: true}
	for id, access := range g.Endpoints {
		out.Endpoints = append(out.Endpoints, EndpointGrant{Endpoint: id, Access: access})
	}
	return out, nil
}
