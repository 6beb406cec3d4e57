package attack

import (
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

// guarded is what stands before every upstream: an API for the whole site, and
// narrower ones within it that a request must not reach under another name.
const guarded = `
	api_key_auth {
		public /public /public/*
		api site {
			path /*
		}
		api open {
			path /open /open/*
		}
		api secret {
			path /secret /secret/*
		}
		api serverless {
			path /v2/{endpoint}/*
			read POST /v2/{endpoint}/status/*
			write GET /v2/{endpoint}/purge
		}
		api rest {
			path /rest/*
			endpoint users /rest/users /rest/users/*
			endpoint orders /rest/orders /rest/orders/*
			read POST /rest/search
			write /rest/purge
		}
	}
`

// caller is somebody with a key, or without one.
type caller struct {
	name, secret, id string
	// on returns the access that the caller has: "", "read" or "write".
	on func(api, endpoint string) string
}

// newCallers makes the keys of those who attack, and last one of somebody who
// may do everything.
func newCallers(g *e2e.Gateway) []caller {
	restricted := g.Create(map[string]any{"owner": "mallory", "permissions": e2e.Restricted(map[string]any{
		"site": map[string]any{"access": "write"},
		"open": map[string]any{"access": "write"},
		"rest": map[string]any{"access": "restricted", "endpoints": map[string]any{"users": "read"}},
		"serverless": map[string]any{"access": "restricted", "endpoints": map[string]any{
			"abc": "write", "def": "read",
		}},
	})})
	reader := g.Create(map[string]any{"permissions": map[string]any{"mode": "read_only"}})
	all := g.Create(nil)
	has := map[string]string{"site": "write", "open": "write", "rest/users": "read", "serverless/abc": "write", "serverless/def": "read"}
	return []caller{
		{name: "mallory", secret: restricted.Secret, id: restricted.ID, on: func(api, endpoint string) string {
			if endpoint != "" {
				return has[api+"/"+endpoint]
			}
			return has[api]
		}},
		{name: "reader", secret: reader.Secret, id: reader.ID, on: func(string, string) string { return "read" }},
		{name: "nobody", on: func(string, string) string { return "" }},
		{name: "everything", secret: all.Secret, id: all.ID, on: func(string, string) string { return "write" }},
	}
}

// may reports whether a handler may serve the caller with a method, by what is
// declared in guarded.
func (c *caller) may(handler, method string) bool {
	if handler == "public" {
		return true
	}
	api, endpoint, writes := needs(handler, method)
	has := c.on(api, endpoint)
	return has == "write" || has == "read" && !writes
}

// needs says to which API and endpoint a handler belongs, and whether a method
// writes there.
func needs(handler, method string) (api, endpoint string, writes bool) {
	writes = method != "GET" && method != "HEAD" && method != "OPTIONS"
	first, rest, _ := strings.Cut(handler, "/")
	switch first {
	case "v2":
		id, what, _ := strings.Cut(rest, "/")
		if decoded, err := url.PathUnescape(id); err == nil {
			id = decoded
		}
		switch what {
		case "status":
			writes = writes && method != "POST"
		case "purge":
			writes = writes || method != "OPTIONS"
		}
		return "serverless", id, writes
	case "rest":
		switch rest {
		case "users", "orders":
			return "rest", rest, writes
		case "search":
			writes = writes && method != "POST"
		case "purge":
			writes = true
		}
		// Outside of its endpoints a restricted API gives nothing.
		return "rest", "", writes
	}
	return first, "", writes
}

// Of what says whether an attack succeeded, a mistake would hide every attack.
func TestWhatCallersMay(t *testing.T) {
	mallory := caller{on: func(api, endpoint string) string {
		return map[string]string{"open/": "write", "rest/users": "read", "serverless/abc": "write", "serverless/def": "read"}[api+"/"+endpoint]
	}}
	reader := caller{on: func(string, string) string { return "read" }}
	nobody := caller{on: func(string, string) string { return "" }}
	for _, c := range []struct {
		handler, method                 string
		forMallory, forReader, forOther bool
	}{
		{"public", "POST", true, true, true},
		{"open", "DELETE", true, false, false},
		{"secret", "GET", false, true, false},
		{"rest", "GET", false, true, false},
		{"rest/users", "HEAD", true, true, false},
		{"rest/users", "PUT", false, false, false},
		{"rest/orders", "GET", false, true, false},
		{"rest/search", "POST", false, true, false},
		{"rest/purge", "GET", false, false, false},
		{"v2/abc/run", "POST", true, false, false},
		{"v2/abc/purge", "GET", true, false, false},
		{"v2/def/run", "GET", true, true, false},
		{"v2/def/run", "POST", false, false, false},
		{"v2/def/status", "POST", true, true, false},
		{"v2/def/purge", "GET", false, false, false},
		{"v2/a%62c/run", "POST", true, false, false},
		{"v2/other/run", "GET", false, true, false},
	} {
		got := [3]bool{mallory.may(c.handler, c.method), reader.may(c.handler, c.method), nobody.may(c.handler, c.method)}
		if want := [3]bool{c.forMallory, c.forReader, c.forOther}; got != want {
			t.Errorf("%s %s: %v, want %v", c.method, c.handler, got, want)
		}
	}
}
