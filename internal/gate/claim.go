package gate

import (
	"slices"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/route"
)

// Claim is what an allowed request needs of its key for as long as it is under
// way: a stream or a WebSocket may outlive the permission that opened it.
type Claim struct {
	API, Endpoint string
	Needs         permission.Access
	// From is the client's address, for keys that are limited to some; "" for
	// a client without one.
	From string
	// further are all the targets, where the path could be taken for several
	// (see route.Match.Also); nil for ordinary paths.
	further []route.Target
}

// Claim returns what d, which was allowed for a client with that address,
// rests on. Whoever has no address is held like one outside of all networks.
func (d *Decision) Claim(from string) Claim {
	return Claim{API: d.API, Endpoint: d.Endpoint, Needs: d.Needs, From: from, further: d.further}
}

// HeldBy reports whether the request would be allowed now for the key as it
// is; nil is one that is gone.
func (c *Claim) HeldBy(key *keys.Identity, now time.Time) bool {
	if d := JudgeKey(key, now); !d.Allowed() || key.Permissions.For(c.API, c.Endpoint) < c.Needs {
		return false
	}
	if !key.Sources.Contain(c.From) {
		return false
	}
	return !slices.ContainsFunc(c.further, func(t route.Target) bool {
		return key.Permissions.For(t.API.Name, t.Endpoint) < c.Needs
	})
}

// targets returns all targets of m if there are several: none of them, for
// the paths of ordinary clients, so that nothing is allocated.
func targets(m *route.Match) []route.Target {
	if len(m.Also()) == 0 {
		return nil
	}
	return append([]route.Target{{API: m.API, Endpoint: m.Endpoint}}, m.Also()...)
}
