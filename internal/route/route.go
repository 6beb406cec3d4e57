// Package route says which API, which endpoint and which access a request is
// for, and refuses requests that the upstream could read differently. It is
// pure: it knows nothing of keys, stores or answers, does no I/O, and the
// hot functions (Match, Ambiguous) do not allocate.
package route

import (
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// Config is what one handler declares.
type Config struct {
	// Public patterns need no key.
	Public []Source
	APIs   []API
}

// Source is a pattern as it was written, and where: "Caddyfile:31", or "".
type Source struct {
	Pattern string
	Where   string
}

// API is one declared API.
type API struct {
	Name, Title, Where string
	// Paths are the patterns that belong to the API. They may be left out
	// when Endpoints says it all.
	Paths     []Source
	Endpoints []EndpointDecl
	Rules     []Rule
	// GraphQL, when set, lets the operation decide the access; JSONRPC the
	// method named in the body; GRPC the one named by the path. At most one is
	// set.
	GraphQL *GraphQL
	JSONRPC *JSONRPC
	GRPC    *GRPC

	rules ruleSet
	calls rpcSet  // of JSONRPC
	names nameSet // of GRPC
}

// EndpointDecl names a part of an API by patterns without a capture.
type EndpointDecl struct {
	Name     string
	Patterns []Source
}

// Rule overrides which access the method of a request stands for. In an API
// whose body decides, a write rule raises what the body needs, and a read rule
// is possible for WebSocket upgrades only: it could lower nothing else.
type Rule struct {
	// Access is permission.Read or permission.Write.
	Access permission.Access
	// Methods are upper-case; none means all; MethodWebSocket stands for
	// WebSocket upgrades.
	Methods  []string
	Patterns []Source
}

// DefaultMaxBody is the largest body, in bytes, that is read to classify a
// request, where the configuration names no other.
const DefaultMaxBody = 1 << 20

// GraphQL says that the API speaks GraphQL over HTTP.
type GraphQL struct {
	// MaxBody in bytes; 0 is DefaultMaxBody.
	MaxBody int64
}

// JSONRPC says that the API speaks JSON-RPC 2.0 over HTTP, as MCP does.
type JSONRPC struct {
	// MaxBody in bytes; 0 is DefaultMaxBody.
	MaxBody int64
	// Read are the method names that read; a trailing * stands for anything,
	// nothing included. tools/call:NAME is a tool of MCP. Every other method,
	// and tool, writes.
	Read []string
}

// Fault is one mistake in a Config.
type Fault struct {
	Where   string
	Message string
}

// Error returns the message, with its place in front when that is known.
func (f *Fault) Error() string {
	if f.Where == "" {
		return f.Message
	}
	return f.Where + ": " + f.Message
}

// Patterns returns every pattern of the API as written: its paths, then those
// of its endpoints.
func (a *API) Patterns() []string {
	var out []string
	for _, s := range a.Paths {
		out = append(out, s.Pattern)
	}
	for _, e := range a.Endpoints {
		for _, s := range e.Patterns {
			out = append(out, s.Pattern)
		}
	}
	return out
}

// MaxBody returns how many bytes of a body may be read to classify a request.
func (a *API) MaxBody() int64 {
	limit := int64(0)
	switch {
	case a.GraphQL != nil:
		limit = a.GraphQL.MaxBody
	case a.JSONRPC != nil:
		limit = a.JSONRPC.MaxBody
	}
	if limit <= 0 {
		return DefaultMaxBody
	}
	return limit
}

// byBody reports whether the body of a request, not its method, decides.
func (a *API) byBody() bool { return a.GraphQL != nil || a.JSONRPC != nil }
