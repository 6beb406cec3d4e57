package route

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxEndpoint is the longest endpoint id, in characters (contract, section 1).
const maxEndpoint = 128

// Table says which API or public pattern a path belongs to. It is immutable.
type Table struct {
	claims []claim
	paths  node
	apis   []*API
}

// claim is a pattern with what it belongs to.
type claim struct {
	*pattern
	api      *API // nil: public
	endpoint string
}

// APIs returns the declared APIs, in the order of the configuration.
func (t *Table) APIs() []*API { return t.apis }

// ValidAPIName reports whether name is one that an API can have.
func ValidAPIName(name string) bool {
	if name == "" || len(name) > 63 || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// ValidEndpoint reports whether id is one that an endpoint can have: 1 to 128
// characters of valid UTF-8, no slash, no control characters.
func ValidEndpoint(id string) bool {
	if ordinary(id) {
		return id != "" && len(id) <= maxEndpoint
	}
	characters := 0
	for i, r := range id {
		if r == '/' || unicode.IsControl(r) {
			return false
		}
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(id[i:]); size == 1 {
				return false
			}
		}
		characters++
	}
	return characters >= 1 && characters <= maxEndpoint
}

// ordinary reports whether s has harmless characters only.
func ordinary(s string) bool {
	for i := range len(s) {
		if !harmless[s[i]] {
			return false
		}
	}
	return true
}

// Compile builds the table of a handler. The error joins a *Fault for every
// mistake in c, not only the first.
func Compile(c Config) (*Table, error) {
	b := builder{table: &Table{}, names: make(map[string]string, len(c.APIs))}
	for _, s := range c.Public {
		if p := b.parse("public", s); p != nil {
			b.claim(p, nil, "")
		}
	}
	for i := range c.APIs {
		b.api(c.APIs[i])
	}
	b.index()
	if len(b.faults) > 0 {
		return nil, errors.Join(b.faults...)
	}
	return b.table, nil
}

// builder collects the claims of a table, and the faults.
type builder struct {
	table  *Table
	names  map[string]string // where each API was declared
	faults []error
}

func (b *builder) fault(where, format string, args ...any) {
	b.faults = append(b.faults, &Fault{Where: where, Message: fmt.Sprintf(format, args...)})
}

// parse returns nil after noting a fault.
func (b *builder) parse(what string, s Source) *pattern {
	p, err := parsePattern(s)
	if err != nil {
		b.fault(s.Where, "%s %s: %v", what, quoted(s.Pattern), err)
		return nil
	}
	return p
}

// quoted shows a pattern as it is, or quoted where it is hard to read.
func quoted(pattern string) string {
	for _, r := range pattern {
		if r == utf8.RuneError || r == ' ' || !unicode.IsPrint(r) {
			return fmt.Sprintf("%q", pattern)
		}
	}
	if pattern == "" {
		return `""`
	}
	return pattern
}

func (b *builder) claim(p *pattern, api *API, endpoint string) {
	b.table.claims = append(b.table.claims, claim{p, api, endpoint})
}

func (b *builder) api(declared API) {
	api := &declared
	what := fmt.Sprintf("api %q", api.Name)
	if !ValidAPIName(api.Name) {
		b.fault(api.Where, "%s: expected a name of a-z, 0-9 and -, beginning with a letter, of at most 63 characters", what)
	}
	if where, twice := b.names[api.Name]; twice {
		b.fault(api.Where, "%s is already declared%s: put all of it in one block", what, at(where))
		return
	}
	b.names[api.Name] = api.Where
	b.table.apis = append(b.table.apis, api)

	first := len(b.table.claims)
	var paths []*pattern
	for _, s := range api.Paths {
		if p := b.parse(what+": path", s); p != nil {
			paths = append(paths, p)
			b.claim(p, api, "")
		}
	}
	b.endpoints(api, what, paths)
	if len(api.Paths) == 0 && len(api.Endpoints) == 0 {
		b.fault(api.Where, "%s has no path: add a line such as path /%s/*", what, api.Name)
	}
	b.kind(api, what, b.table.claims[first:])
	b.rules(api, what, b.table.claims[first:])
}

func (b *builder) endpoints(api *API, what string, paths []*pattern) {
	seen := make(map[string]bool, len(api.Endpoints))
	for _, e := range api.Endpoints {
		what := fmt.Sprintf("%s: endpoint %q", what, e.Name)
		if !ValidEndpoint(e.Name) {
			b.fault(api.Where, "%s: expected an id of 1 to 128 characters without slash and control characters", what)
		}
		if seen[e.Name] {
			b.fault(api.Where, "%s is declared twice: put all its patterns on one line", what)
		}
		seen[e.Name] = true
		if len(e.Patterns) == 0 {
			b.fault(api.Where, "%s has no pattern: expected one or more after its name", what)
		}
		for _, s := range e.Patterns {
			b.endpointPattern(api, what, e.Name, s, paths)
		}
	}
}

func (b *builder) endpointPattern(api *API, what, name string, s Source, paths []*pattern) {
	p := b.parse(what+":", s)
	if p == nil {
		return
	}
	if p.capture >= 0 {
		b.fault(s.Where, "%s: %s captures {endpoint}, but the endpoint is already named: use a literal, or path", what, p.Pattern)
		return
	}
	if len(api.Paths) > 0 && !within(p, paths) {
		b.fault(s.Where, "%s: %s lies outside every path of the api: add the line path %s", what, p.Pattern, p.Pattern)
	}
	b.claim(p, api, name)
}

func within(p *pattern, paths []*pattern) bool {
	for _, path := range paths {
		if path.contains(p) {
			return true
		}
	}
	return false
}

// kind checks the options that let something else than the method decide.
func (b *builder) kind(api *API, what string, claims []claim) {
	var kinds []string
	for _, k := range []struct {
		name string
		set  bool
	}{{"graphql", api.GraphQL != nil}, {"jsonrpc", api.JSONRPC != nil}, {"grpc", api.GRPC != nil}} {
		if k.set {
			kinds = append(kinds, k.name)
		}
	}
	if len(kinds) > 1 {
		b.fault(api.Where, "%s is both %s: choose one", what, strings.Join(kinds, " and "))
	}
	if api.GraphQL != nil && api.GraphQL.MaxBody < 0 || api.JSONRPC != nil && api.JSONRPC.MaxBody < 0 {
		b.fault(api.Where, "%s: max_body is negative", what)
	}
	var err error
	switch {
	case api.JSONRPC != nil:
		if api.calls, err = newRPCSet(api.JSONRPC.Read); err != nil {
			b.fault(api.Where, "%s: jsonrpc read: %v", what, err)
		}
	case api.GRPC != nil:
		if api.names, err = newGRPCSet(api.GRPC.Read); err != nil {
			b.fault(api.Where, "%s: grpc read: %v", what, err)
		}
		b.grpcPatterns(api, what, claims)
	}
}

// at puts a place in words: " (Caddyfile:31)", or nothing.
func at(where string) string {
	if where == "" {
		return ""
	}
	return " (" + where + ")"
}
