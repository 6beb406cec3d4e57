package config

import (
	"errors"
	"net/textproto"
	"slices"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/route"
)

// What becomes of CORS preflights.
const (
	PreflightPass = "pass"
	PreflightDeny = "deny"
)

// What becomes of requests that are to be refused.
const (
	EnforceOn  = "on"
	EnforceOff = "off"
)

// MaxBodyLimit bounds max_body, which is memory per request: 1 GiB.
const MaxBodyLimit = 1 << 30

// Auth is the configuration of one api_key_auth handler.
type Auth struct {
	// What WWW-Authenticate calls the protected space. Default: `api`.
	Realm string `json:"realm,omitempty"`

	// Where callers may present their key. Default: `Authorization: Bearer`
	// and `X-API-Key`.
	Credentials *Credentials `json:"credentials,omitempty"`

	// Patterns of paths that need no key.
	Public []Pattern `json:"public,omitempty"`

	// `pass` lets CORS preflights through without a key; default `deny`.
	Preflight string `json:"preflight,omitempty"`

	// If true, the upstream receives the caller's credential too.
	ForwardCredential bool `json:"forward_credential,omitempty"`

	// `off` lets every request pass, and only counts and logs what would have
	// been refused; default `on`.
	Enforce string `json:"enforce,omitempty"`

	// If true, and enforce is `off`, the answer says in the header
	// `Keywarden-Would-Refuse` with which code the request would have been
	// refused.
	ReportHeader bool `json:"report_header,omitempty"`
	// If false, a WebSocket or a long answer goes on when its key no longer may
	// what it needs. Default: true, it is closed.
	CloseOnRevoke *bool `json:"close_on_revoke,omitempty"`

	// How many failed attempts, with secrets that are malformed or unknown, a
	// client address may make (an IPv6 client by its /64) before such requests
	// are answered 429: `20/m`. Default: no limit.
	FailLimit *FailLimit `json:"fail_limit,omitempty"`

	// The APIs behind this handler. A request that none of them matches, and
	// no public pattern, never reaches the upstream.
	APIs []API `json:"apis,omitempty"`
}

// Credentials says where callers may present their key. What is not listed
// is no credential and goes on to the upstream.
type Credentials struct {
	// `Authorization: Bearer SECRET`.
	Bearer bool `json:"bearer,omitempty"`
	// Names of headers that hold the secret alone.
	Headers []string `json:"headers,omitempty"`
	// Names of query parameters that hold the secret.
	Queries []string `json:"queries,omitempty"`
	// `Authorization: Basic`, the secret as user name, the password empty.
	Basic bool `json:"basic,omitempty"`
}

// DefaultCredentials are used where none are configured.
func DefaultCredentials() Credentials {
	return Credentials{Bearer: true, Headers: []string{"X-API-Key"}}
}

// API is one named upstream API.
type API struct {
	// `[a-z][a-z0-9-]{0,62}`.
	Name string `json:"name"`
	// What people read. Default: the name.
	Title string `json:"title,omitempty"`
	// Patterns of the API's paths.
	Paths []Pattern `json:"paths,omitempty"`
	// Named parts of the API.
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	// What reads and what writes, where the method does not tell.
	Rules []Rule `json:"rules,omitempty"`
	// If set, the GraphQL operation decides between read and write.
	GraphQL *GraphQL `json:"graphql,omitempty"`
	// If set, the JSON-RPC method decides between read and write.
	JSONRPC *JSONRPC `json:"jsonrpc,omitempty"`
	// If set, the gRPC method decides between read and write.
	GRPC *GRPC `json:"grpc,omitempty"`

	// Where is "file:line" of a Caddyfile, for messages.
	Where string `json:"-"`
}

// Endpoint is a named part of an API.
type Endpoint struct {
	Name  string    `json:"name"`
	Paths []Pattern `json:"paths"`
}

// Rule overrides the access that requests need.
type Rule struct {
	// `read` or `write`.
	Access string `json:"access"`
	// Methods that the rule is for; none: all. `WEBSOCKET` is an upgrade.
	Methods []string  `json:"methods,omitempty"`
	Paths   []Pattern `json:"paths"`
}

// GraphQL is how a GraphQL API is read.
type GraphQL struct {
	// The largest body that is read to decide, in bytes. Default: 1 MiB.
	MaxBody int64 `json:"max_body,omitempty"`
}

// JSONRPC is how a JSON-RPC API is read.
type JSONRPC struct {
	// Methods that read; a trailing `*` stands for any rest. `tools/call:NAME`
	// is a tool of an MCP server.
	Read []string `json:"read,omitempty"`
	// The largest body that is read to decide, in bytes. Default: 1 MiB.
	MaxBody int64 `json:"max_body,omitempty"`
}

// GRPC is how a gRPC API is read.
type GRPC struct {
	// Methods that read, as `package.Service/Method`; a trailing `*` stands for
	// any rest.
	Read []string `json:"read,omitempty"`
}

// Compile checks a and builds its table of routes; the error holds every
// fault at once, as *route.Fault joined.
func (a *Auth) Compile() (*route.Table, error) {
	faults := []error{a.validate()}
	declared, err := a.routes()
	faults = append(faults, err)
	table, err := route.Compile(declared)
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	return table, nil
}

func (a *Auth) validate() error {
	var faults []error
	faults = append(faults, CheckRealm(a.Realm))
	if !slices.Contains([]string{"", PreflightPass, PreflightDeny}, a.Preflight) {
		faults = append(faults, fault("", "preflight %q: expected pass or deny", a.Preflight))
	}
	if !slices.Contains([]string{"", EnforceOn, EnforceOff}, a.Enforce) {
		faults = append(faults, fault("", "enforce %q: expected on or off", a.Enforce))
	}
	if a.ReportHeader && a.Enforce != EnforceOff {
		faults = append(faults, fault("", "report_header: expected it with enforce off only: what is refused says so itself"))
	}
	if a.Credentials != nil {
		faults = append(faults, a.Credentials.Validate())
	}
	return errors.Join(faults...)
}

// CheckRealm says whether realm can stand between quotes in a header: as a
// quoted-string of RFC 9110, section 5.6.4, without its escapes, which clients
// are known to misread.
func CheckRealm(realm string) error {
	if strings.ContainsFunc(realm, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return fault("", "realm %q: expected printable ASCII without quotes and backslashes", realm)
	}
	return nil
}

// Validate returns every fault of c at once.
func (c *Credentials) Validate() error {
	if !c.Bearer && !c.Basic && len(c.Headers) == 0 && len(c.Queries) == 0 {
		return fault("", "credentials: none is configured; expected one or more of bearer, header NAME, query NAME, basic")
	}
	var faults []error
	seen := make(map[string]bool)
	for _, name := range c.Headers {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if err := checkHeader(name); err != nil {
			faults = append(faults, err)
		} else if seen[canonical] {
			faults = append(faults, fault("", "credentials: header %s is listed twice", name))
		}
		seen[canonical] = true
	}
	clear(seen)
	for _, name := range c.Queries {
		switch {
		case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
			faults = append(faults, fault("", "credentials: query parameter %q: expected printable ASCII without spaces", name))
		case seen[strings.ToLower(name)]:
			faults = append(faults, fault("", "credentials: query parameter %s is listed twice", name))
		}
		seen[strings.ToLower(name)] = true
	}
	return errors.Join(faults...)
}

// reserved are headers that cannot hold a key, each with its reason.
var reserved = map[string]string{
	"Authorization":       "say bearer or basic instead",
	"Proxy-Authorization": "it belongs to proxies",
	"Cookie":              "browsers send it unasked",
	"Connection":          "it ends at each hop",
	"Content-Encoding":    "it describes the body",
	"Content-Length":      "it describes the body",
	"Content-Type":        "it describes the body",
	"Expect":              "the server acts on it",
	"Host":                "it names the server",
	"Keep-Alive":          "it ends at each hop",
	"Proxy-Connection":    "it ends at each hop",
	"Te":                  "it ends at each hop",
	"Trailer":             "it ends at each hop",
	"Transfer-Encoding":   "it ends at each hop",
	"Upgrade":             "it ends at each hop",
}

func checkHeader(name string) error {
	const separators = "()<>@,;:\\\"/[]?={}"
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(separators, r)
	}) {
		return fault("", "credentials: header %q: expected a header's name, such as X-API-Key", name)
	}
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if why := reserved[canonical]; why != "" {
		return fault("", "credentials: header %s cannot hold a key: %s", name, why)
	}
	folded := textproto.CanonicalMIMEHeaderKey(strings.NewReplacer("_", "-", ".", "-").Replace(name))
	if slices.Contains(IdentityHeaders(), folded) {
		return fault("", "credentials: header %s cannot hold a key: it tells the upstream who called", name)
	}
	return nil
}

// IdentityHeaders are what the upstream learns of the caller; nothing that a
// client sends under these names goes through.
func IdentityHeaders() []string {
	return []string{"X-Auth-Key-Id", "X-Auth-Key-Owner", "X-Auth-Api", "X-Auth-Endpoint", "X-Auth-Access"}
}

// routes translates a for package route.
func (a *Auth) routes() (route.Config, error) {
	out := route.Config{Public: sources(a.Public)}
	var faults []error
	for i := range a.APIs {
		api, err := a.APIs[i].route()
		out.APIs = append(out.APIs, api)
		faults = append(faults, err)
	}
	return out, errors.Join(faults...)
}

func (a *API) route() (route.API, error) {
	out := route.API{Name: a.Name, Title: a.Title, Where: a.Where, Paths: sources(a.Paths)}
	var faults []error
	for _, e := range a.Endpoints {
		out.Endpoints = append(out.Endpoints, route.EndpointDecl{Name: e.Name, Patterns: sources(e.Paths)})
	}
	for _, r := range a.Rules {
		access, err := permission.ParseAccess(r.Access)
		if err != nil || access == permission.None {
			faults = append(faults, fault(a.Where, "api %q: a rule's access is %q: expected read or write", a.Name, r.Access))
			continue
		}
		out.Rules = append(out.Rules, route.Rule{Access: access, Methods: r.Methods, Patterns: sources(r.Paths)})
	}
	if a.GraphQL != nil {
		out.GraphQL = &route.GraphQL{MaxBody: a.GraphQL.MaxBody}
		faults = append(faults, a.checkMaxBody("graphql", a.GraphQL.MaxBody))
	}
	if a.JSONRPC != nil {
		out.JSONRPC = &route.JSONRPC{MaxBody: a.JSONRPC.MaxBody, Read: a.JSONRPC.Read}
		faults = append(faults, a.checkMaxBody("jsonrpc", a.JSONRPC.MaxBody))
	}
	if a.GRPC != nil {
		out.GRPC = &route.GRPC{Read: a.GRPC.Read}
	}
	return out, errors.Join(faults...)
}

func (a *API) checkMaxBody(kind string, n int64) error {
	if n < 0 || n > MaxBodyLimit {
		return fault(a.Where, "api %q: %s.max_body %d: expected 1 to %d bytes", a.Name, kind, n, MaxBodyLimit)
	}
	return nil
}

func sources(patterns []Pattern) []route.Source {
	out := make([]route.Source, 0, len(patterns))
	for _, p := range patterns {
		out = append(out, route.Source{Pattern: p.Text, Where: p.Where})
	}
	return out
}
