package admin

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// fewEndpoints is up to how many endpoints of an API are suggested one by one:
// people should be able to read what they agree to.
const fewEndpoints = 20

// wouldLackAccess is the outcome of requests that only a gateway that reports
// let through: the key needs that access too.
const wouldLackAccess = "would_insufficient_access"

// suggestion is GET /v1/keys/{id}/suggestion.
func (a *api) suggestion(c *call) (any, error) {
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	a.flushUsage(c)
	key, usage, from, err := a.lastDays(c, c.query.days())
	if err != nil {
		return nil, err
	}
	needs := needsOf(usage.Uses, &key.Permissions)
	out := Suggestion{
		Days: c.query.days(), From: from, To: c.now, Recorded: a.recorded(usage.Since),
		Current: showPermissions(key.Permissions), Reasons: []SuggestedOn{},
	}
	var grants []permission.Grant
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		need := needs[name]
		on := SuggestedOn{API: name, Access: permission.None.String(), Endpoints: len(need.endpoints), Requests: need.requests, LastAt: need.last.UTC()}
		if !a.declares(c, name) {
			on.Detail = "not declared any more; left out"
		} else {
			grant := need.grant(name)
			grants = append(grants, grant)
			on.Access, on.Detail = showGrant(grant).Access, need.detail()
			out.Requests += need.requests
		}
		out.Reasons = append(out.Reasons, on)
	}
	if err := c.fault(); err != nil { // other nodes could not be asked what they declare
		return nil, err
	}
	set, err := permission.NewRestricted(grants...)
	if err != nil {
		return nil, err
	}
	out.Permissions = showPermissions(set)
	out.Smaller = set.Within(&key.Permissions) && !key.Permissions.Within(&set)
	return out, nil
}

// need is what a key needs on one API.
type need struct {
	endpoints map[string]permission.Access
	wide      permission.Access // on paths that belong to no endpoint
	// kept is what the key has there by endpoint now, nil if it has the access
	// as a whole; it stays as it is where not all that was used is known.
	kept    *permission.Grant
	unknown bool
	written int64

	requests int64
	last     time.Time
}

// needsOf returns what a key needs, by API. Of what was let through, what it
// may do now counts: what was taken from it since is not given back.
func needsOf(uses []keys.UsageOf, current *permission.Set) map[string]*need {
	needs := map[string]*need{}
	for _, u := range uses {
		access := u.Access
		kept := byEndpoint(current, u.API)
		unknown := u.Endpoint == keys.OtherEndpoints && kept != nil
		switch u.Outcome {
		case keys.OutcomeAllowed:
			if !unknown {
				access = min(access, current.For(u.API, plainEndpoint(u.Endpoint)))
			}
		case wouldLackAccess:
		default:
			continue
		}
		if u.API == "" || access == permission.None {
			continue
		}
		n := needs[u.API]
		if n == nil {
			n = &need{endpoints: map[string]permission.Access{}, kept: kept}
			needs[u.API] = n
		}
		n.add(&u, access, unknown)
	}
	return needs
}

// plainEndpoint takes endpoints that are not told apart for none.
func plainEndpoint(endpoint string) string {
	if endpoint == keys.OtherEndpoints {
		return ""
	}
	return endpoint
}

func byEndpoint(set *permission.Set, api string) *permission.Grant {
	if set.Mode != permission.Restricted {
		return nil
	}
	for i := range set.APIs {
		if set.APIs[i].API == api && set.APIs[i].ByEndpoint {
			return &set.APIs[i]
		}
	}
	return nil
}

func (n *need) add(u *keys.UsageOf, access permission.Access, unknown bool) {
	n.requests += u.N
	if access == permission.Write {
		n.written += u.N
	}
	if u.LastAt.After(n.last) {
		n.last = u.LastAt
	}
	switch {
	case unknown:
		n.unknown = true
	case plainEndpoint(u.Endpoint) == "":
		n.wide = max(n.wide, access)
	default:
		n.endpoints[u.Endpoint] = max(n.endpoints[u.Endpoint], access)
	}
}

// grant returns the smallest grant that covers the need.
func (n *need) grant(api string) permission.Grant {
	if n.unknown && n.wide == permission.None {
		return n.asItIs(api)
	}
	if n.wide == permission.None && (len(n.endpoints) <= fewEndpoints || n.kept != nil) {
		return n.listed(api, nil)
	}
	grant := permission.Grant{API: api, Access: n.wide}
	for _, access := range n.endpoints {
		grant.Access = max(grant.Access, access)
	}
	return grant
}

// asItIs is what the key has now, and what it needs besides.
func (n *need) asItIs(api string) permission.Grant {
	kept := map[string]permission.Access{}
	for _, e := range n.kept.Endpoints {
		kept[e.Endpoint] = e.Access
	}
	return n.listed(api, kept)
}

func (n *need) listed(api string, besides map[string]permission.Access) permission.Grant {
	all := maps.Clone(n.endpoints)
	for id, access := range besides {
		all[id] = max(all[id], access)
	}
	grant := permission.Grant{API: api, ByEndpoint: true}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		grant.Endpoints = append(grant.Endpoints, permission.EndpointGrant{Endpoint: id, Access: all[id]})
	}
	return grant
}

func (n *need) detail() string {
	what := fmt.Sprintf("only read, in %s", count(n.requests, "request"))
	if n.written > 0 {
		what = fmt.Sprintf("wrote, in %d of %s", n.written, count(n.requests, "request"))
	}
	switch {
	case n.unknown:
		return what + " for more endpoints than are told apart; as it is now"
	case n.wide != permission.None && len(n.endpoints) > 0:
		return fmt.Sprintf("%s for %s, and for none of them", what, count(int64(len(n.endpoints)), "endpoint"))
	case n.wide != permission.None:
		return what + " for no endpoint of its own"
	}
	return fmt.Sprintf("%s for %s", what, count(int64(len(n.endpoints)), "endpoint"))
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
