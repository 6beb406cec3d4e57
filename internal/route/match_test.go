package route

import (
	"strings"
	"testing"
)

// sources are patterns without a place.
func sources(patterns ...string) []Source {
	var out []Source
	for _, p := range patterns {
		out = append(out, Source{Pattern: p})
	}
	return out
}

// rule reads "write GET /a /b" as a Caddyfile would have it.
func rule(line string) Rule {
	var r Rule
	for i, word := range strings.Fields(line) {
		switch {
		case i == 0:
			if err := r.Access.UnmarshalText([]byte(word)); err != nil {
				panic(err)
			}
		case strings.HasPrefix(word, "/"):
			r.Patterns = append(r.Patterns, Source{Pattern: word})
		default:
			r.Methods = append(r.Methods, word)
		}
	}
	return r
}

func rules(lines ...string) []Rule {
	var out []Rule
	for _, line := range lines {
		out = append(out, rule(line))
	}
	return out
}

func endpoint(name string, patterns ...string) EndpointDecl {
	return EndpointDecl{Name: name, Patterns: sources(patterns...)}
}

func mustCompile(t testing.TB, c Config) *Table {
	t.Helper()
	table, err := Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// contractConfig is the example of the contract's section 2.
func contractConfig() Config {
	return Config{
		Public: sources("/healthz", "/docs/*"),
		APIs: []API{
			{Name: "graphql", Title: "GraphQL API", Paths: sources("/graphql"), GraphQL: &GraphQL{}},
			{
				Name: "serverless", Paths: sources("/v2/{endpoint}/*"),
				Rules: rules("read POST /v2/{endpoint}/status/*", "write GET /v2/{endpoint}/purge"),
			},
			{
				Name: "rest", Paths: sources("/rest/*"),
				Endpoints: []EndpointDecl{
					endpoint("users", "/rest/users", "/rest/users/*"),
					endpoint("orders", "/rest/orders", "/rest/orders/*"),
				},
				Rules: rules("read POST /rest/search"),
			},
		},
	}
}

// show writes a match in one line: "rest/users read", "public", "none".
func show(m Match, matched bool) string {
	switch {
	case !matched:
		return "none"
	case m.Public:
		return "public"
	}
	out := m.API.Name
	if m.Endpoint != "" {
		out += "/" + m.Endpoint
	}
	for _, t := range m.Also() {
		out += "+" + t.API.Name
		if t.Endpoint != "" {
			out += "/" + t.Endpoint
		}
	}
	out += " " + m.Access.String()
	if m.Body {
		out += " by body"
	}
	return out
}

func TestTheContractsExample(t *testing.T) {
	table := mustCompile(t, contractConfig())
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/healthz", "public"},
		{"POST", "/healthz", "public"},
		{"GET", "/healthz/", "none"},
		{"GET", "/docs/", "public"},
		{"GET", "/docs/a/b", "public"},
		{"GET", "/docs", "none"},
		{"GET", "/", "none"},
		{"GET", "/Healthz", "none"},
		{"POST", "/graphql", "graphql read by body"},
		{"GET", "/graphql", "graphql read by body"},
		{"GET", "/graphql/x", "none"},
		{"GET", "/v2/abc/run", "serverless/abc read"},
		{"POST", "/v2/abc/run", "serverless/abc write"},
		{"POST", "/v2/abc/", "serverless/abc write"},
		{"GET", "/v2/abc", "none"},
		{"GET", "/v2//x", "none"},
		{"GET", "/v2/", "none"},
		{"POST", "/v2/abc/status/1", "serverless/abc read"},
		{"POST", "/v2/abc/status/", "serverless/abc read"},
		{"POST", "/v2/abc/status", "serverless/abc write"},
		{"POST", "/v2/abc/STATUS/1", "serverless/abc write"},
		{"GET", "/v2/abc/purge", "serverless/abc write"},
		{"HEAD", "/v2/abc/purge", "serverless/abc write"},
		{"OPTIONS", "/v2/abc/purge", "serverless/abc read"},
		{"GET", "/v2/abc/PURGE", "serverless/abc write"},
		{"GET", "/v2/abc/purge/", "serverless/abc write"},
		{"GET", "/v2/abc/purge/x", "serverless/abc read"},
		{"GET", "/rest/", "rest read"},
		{"PUT", "/rest/x", "rest write"},
		{"get", "/rest/x", "rest write"},
		{"POST", "/rest/search", "rest read"},
		{"POST", "/rest/search/", "rest write"},
		{"POST", "/rest/Search", "rest write"},
		{"GET", "/rest/users", "rest/users read"},
		{"DELETE", "/rest/users/7", "rest/users write"},
		{"GET", "/rest/users/", "rest/users read"},
		{"GET", "/rest/usersx", "rest read"},
		{"GET", "/rest/USERS/7", "rest+rest/users read"},
	} {
		if got := show(table.Match(c.method, c.path, NoUpgrade)); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.path, got, c.want)
		}
	}
	if got := show(table.Match("GET", "/v2/abc/run", WebSocketUpgrade)); got != "serverless/abc write" {
		t.Errorf("an upgrade: %s", got)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	table := mustCompile(t, contractConfig())
	paths := []string{"/rest/users/7", "/rest/USERS/7", "/v2/abc/status/é", "/none", "/docs/x"}
	if n := testing.AllocsPerRun(100, func() {
		for _, p := range paths {
			table.Match("POST", p, NoUpgrade)
			table.Match("GET", p, WebSocketUpgrade)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
