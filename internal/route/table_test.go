package route

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// faults are the messages of a failed Compile.
func faults(c Config) []string {
	_, err := Compile(c)
	var many interface{ Unwrap() []error }
	if !errors.As(err, &many) {
		return nil
	}
	var out []string
	for _, e := range many.Unwrap() {
		out = append(out, e.Error())
	}
	return out
}

func api(name string, paths ...string) API { return API{Name: name, Paths: sources(paths...)} }

func with(a API, change func(*API)) API {
	change(&a)
	return a
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	legacy := API{Name: "legacy", Where: "Caddyfile:30", Paths: []Source{{"/rest/*", "Caddyfile:31"}}}
	for _, c := range []struct {
		name   string
		config Config
		want   []string
	}{
		{
			"a pattern that two APIs claim",
			Config{APIs: []API{legacy, {Name: "rest", Paths: []Source{{"/rest/*", "Caddyfile:35"}}}}},
			[]string{`Caddyfile:35: api "rest": /rest/* is already claimed by api "legacy" (Caddyfile:31)`},
		},
		{
			"a pattern that is public and an API's",
			Config{Public: sources("/a"), APIs: []API{api("a", "/a")}},
			[]string{`api "a": /a is already claimed by public`},
		},
		{
			"an API declared twice",
			Config{APIs: []API{legacy, with(api("legacy", "/x"), func(a *API) { a.Where = "Caddyfile:40" })}},
			[]string{`Caddyfile:40: api "legacy" is already declared (Caddyfile:30): put all of it in one block`},
		},
		{
			"patterns of which neither is more specific",
			Config{APIs: []API{api("a", "/{endpoint}/b"), api("b", "/a/{endpoint}")}},
			[]string{`api "b": /a/{endpoint} overlaps api "a": /{endpoint}/b and neither is more specific: make one of them more specific`},
		},
		{
			"a capture beside a public tree",
			Config{Public: sources("/docs/*"), APIs: []API{api("a", "/{endpoint}/x")}},
			[]string{`public: /docs/* overlaps api "a": /{endpoint}/x and neither`},
		},
		{
			"overlapping patterns within one API",
			Config{APIs: []API{api("a", "/v2/{endpoint}/x", "/v2/y/*")}},
			[]string{`api "a": /v2/y/* overlaps api "a": /v2/{endpoint}/x and neither`},
		},
		{
			"two endpoints with one pattern",
			Config{APIs: []API{{Name: "a", Endpoints: []EndpointDecl{endpoint("x", "/x"), endpoint("y", "/x")}}}},
			[]string{`api "a": endpoint "y": /x is already claimed by api "a": endpoint "x"`},
		},
		{
			"a pattern twice",
			Config{Public: sources("/p", "/p"), APIs: []API{api("a", "/x", "/x")}},
			[]string{`public: /p is there twice: remove one`, `api "a": /x is there twice: remove one`},
		},
		{
			"names that can't be",
			Config{APIs: []API{api("", "/0"), api("Rest", "/1"), api("1a", "/2"), api(strings.Repeat("a", 64), "/3"), api("a_b", "/4")}},
			[]string{`api ""`, `api "Rest"`, `api "1a"`, `api "aaaa`, `api "a_b"`},
		},
		{"an API without path", Config{APIs: []API{{Name: "a"}}}, []string{`api "a" has no path: add a line such as path /a/*`}},
		{
			"faulty endpoints",
			Config{APIs: []API{{Name: "a", Paths: sources("/a/*"), Endpoints: []EndpointDecl{
				endpoint("x/y", "/a/1"), endpoint("z"), endpoint("w", "/b"), endpoint("v", "/a/{endpoint}"), endpoint("w", "/a/3"),
			}}}},
			[]string{
				`endpoint "x/y": expected an id`, `endpoint "z" has no pattern`, `endpoint "w": /b lies outside every path of the api: add the line path /b`,
				`endpoint "v": /a/{endpoint} captures {endpoint}`, `endpoint "w" is declared twice`,
			},
		},
		{
			"faulty rules",
			Config{APIs: []API{with(api("a", "/a/*"), func(a *API) {
				a.Rules = rules("read get /a/1", "read PSOT /a/1", "write TRACE /a/1", "write CONNECT /a/1", "read GET GET /a/1",
					"read POST /b", "read POST /A/x", "write POST /b", "write POST", "none /a/1", "write * /a/1")
			})}},
			[]string{
				`api "a": read: method "get": expected GET`, `method "PSOT" is not known`, `TRACE is refused always`, `CONNECT is refused always`,
				`method GET is named twice`, `read /b never applies`, `read /A/x never applies`, `write /b never applies`,
				`api "a": write has no pattern`, `expected a rule of read or write`, `method "*" is not known`,
			},
		},
		{
			"kinds",
			Config{APIs: []API{
				with(api("a", "/a"), func(a *API) { a.GraphQL, a.JSONRPC = &GraphQL{}, &JSONRPC{} }),
				with(api("b", "/b"), func(a *API) { a.GraphQL = &GraphQL{MaxBody: -1} }),
				with(api("c", "/c"), func(a *API) { a.JSONRPC = &JSONRPC{Read: []string{"", "a*b", "x\x00", "ok", "get*", "*"}} }),
				with(api("d", "/d"), func(a *API) { a.GraphQL = &GraphQL{}; a.Rules = rules("read POST /d") }),
			}},
			[]string{
				"both graphql and jsonrpc", "max_body is negative",
				"api \"c\": jsonrpc read: a method's name is empty\nmethod \"a*b\": * is possible only at its end\nmethod \"x\\x00\" has a NUL in it",
				"only read WEBSOCKET is possible",
			},
		},
		{
			"every fault at once, patterns included",
			Config{Public: sources("x", "/a/*/b"), APIs: []API{api("a", "/{id}", "/a/\u200b")}},
			[]string{`public x: expected a path that begins with /`, `public /a/*/b: * is possible only`, `api "a": path /{id}: "{id}" is no segment`, `api "a": path "/a/\u200b": no request can match it`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := faults(c.config)
			if len(got) != len(c.want) {
				t.Fatalf("%d faults, want %d:\n%s", len(got), len(c.want), strings.Join(got, "\n"))
			}
			for i := range got {
				if !strings.Contains(got[i], c.want[i]) {
					t.Errorf("%s\nwant %s", got[i], c.want[i])
				}
			}
		})
	}
}

func TestFaultsAreFaults(t *testing.T) {
	_, err := Compile(Config{APIs: []API{{Name: "A", Where: "Caddyfile:7"}}})
	var fault *Fault
	if !errors.As(err, &fault) || fault.Where != "Caddyfile:7" || !strings.HasPrefix(fault.Error(), "Caddyfile:7: ") {
		t.Errorf("%#v", fault)
	}
}

func TestConfigurationsThatAreGood(t *testing.T) {
	for name, c := range map[string]Config{
		"empty":                                  {},
		"nested trees of several APIs":           {Public: sources("/a/b/c"), APIs: []API{api("a", "/a/*"), api("b", "/a/b/*"), api("c", "/*")}},
		"captures with different ends":           {APIs: []API{api("a", "/v/{endpoint}"), api("b", "/v/{endpoint}/"), api("c", "/v/{endpoint}/*"), api("d", "/v/{endpoint}/x/*")}},
		"a literal beside a capture":             {APIs: []API{api("a", "/v/{endpoint}/*"), api("b", "/v/login/*"), api("c", "/v/")}},
		"patterns that differ in letter case":    {APIs: []API{api("a", "/a/*"), api("b", "/A/*")}},
		"patterns that differ in a slash":        {APIs: []API{api("a", "/a"), api("b", "/a/"), api("c", "/a/*")}},
		"captures that no path can meet":         {APIs: []API{api("a", "/{endpoint}/x/1"), api("b", "/a/{endpoint}/2")}},
		"captures that meet loosely only":        {APIs: []API{api("a", "/a/{endpoint}"), api("b", "/{endpoint}/b/*")}},
		"an endpoint that is all of a path":      {APIs: []API{{Name: "a", Paths: sources("/a"), Endpoints: []EndpointDecl{endpoint("all", "/a")}}}},
		"endpoints without path":                 {APIs: []API{{Name: "a", Endpoints: []EndpointDecl{endpoint("x", "/x"), endpoint("y", "/y/*")}}}},
		"an endpoint within a capturing path":    {APIs: []API{{Name: "a", Paths: sources("/v/{endpoint}/*"), Endpoints: []EndpointDecl{endpoint("é b", "/v/x/*")}}}},
		"a write rule in another letter case":    {APIs: []API{with(api("a", "/a/*"), func(a *API) { a.Rules = rules("write GET /A/x") })}},
		"rules where the body decides":           {APIs: []API{with(api("a", "/a"), func(a *API) { a.GraphQL = &GraphQL{}; a.Rules = rules("read WEBSOCKET /a", "write GET /a") })}},
		"a rule broader than the api":            {APIs: []API{with(api("a", "/a/b"), func(a *API) { a.Rules = rules("read POST /*") })}},
		"the longest name, and a rule for PURGE": {APIs: []API{with(api(strings.Repeat("a", 63), "/"), func(a *API) { a.Rules = rules("read PURGE REPORT /") })}},
	} {
		if _, err := Compile(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// slowConflicts counts the pairs that Compile must refuse: incomparable ones
// of different text, and equal ones but a path that an endpoint names.
func slowRefused(claims []claim) bool {
	for i := range claims {
		for j := range i {
			a, b := &claims[i], &claims[j]
			switch r := compare(a.pattern, b.pattern); {
			case r == incomparable:
				return true
			case r == equal && !(a.api == b.api && a.api != nil && a.endpoint != "" && b.endpoint == ""):
				return true
			}
		}
	}
	return false
}

func TestCompileRefusesExactlyThePairsThatNobodyCanDecide(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := builder{table: &Table{}}
		owners := []*API{nil, {Name: "a"}, {Name: "b"}}
		for range rapid.IntRange(1, 6).Draw(rt, "claims") {
			owner := rapid.SampledFrom(owners).Draw(rt, "owner")
			p := mustParse(t, drawPattern(rt, "pattern"))
			name := ""
			if owner != nil && p.capture < 0 {
				name = rapid.SampledFrom([]string{"", "", "x"}).Draw(rt, "endpoint")
			}
			b.claim(p, owner, name)
		}
		want := slowRefused(b.table.claims)
		b.index()
		if got := len(b.faults) > 0; got != want {
			rt.Fatalf("refused is %t, want %t: %v", got, want, b.faults)
		}
	})
}

// manyPatterns has n patterns, n/5 APIs of five: what people write, and two
// families of captures that could meet, and do not.
func manyPatterns(n int) Config {
	var c Config
	for i := range n / 5 {
		c.APIs = append(c.APIs, API{
			Name: fmt.Sprintf("api%d", i),
			Paths: sources(fmt.Sprintf("/v%d/{endpoint}/*", i), fmt.Sprintf("/v%d/status", i),
				fmt.Sprintf("/cap/{endpoint}/left%d/x", i), fmt.Sprintf("/cap/right%d/{endpoint}/y%d", i, i)),
			Endpoints: []EndpointDecl{endpoint("users", fmt.Sprintf("/v%d/users/*", i))},
			Rules:     rules(fmt.Sprintf("read POST /v%d/{endpoint}/search", i), fmt.Sprintf("write GET /v%d/users/purge", i)),
		})
	}
	return c
}

// Looking for conflicts follows a pattern's segments, and what it makes for
// that it makes once. Making it anew for each pattern would show here, and
// comparing each with each in how long a hundred thousand take.
func TestAPatternCostsNoMoreToCompileAmongMany(t *testing.T) {
	mustCompile(t, manyPatterns(100_000))
	each := func(n int) float64 {
		c := manyPatterns(n)
		return testing.AllocsPerRun(1, func() { mustCompile(t, c) }) / float64(n)
	}
	if among1000, among20000 := each(1000), each(20_000); among20000 > 1.2*among1000 {
		t.Errorf("%.1f allocations a pattern among 20 000, %.1f among 1000", among20000, among1000)
	}
}

func TestEndpointIDs(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "é": true, strings.Repeat("é", 128): true, "a b": true, "\uFFFD": true,
		"": false, "a/b": false, "a\x00": false, "a\x7f": false, "a\u0085": false, strings.Repeat("a", 129): false, "\xff": false,
	} {
		if got := ValidEndpoint(id); got != want {
			t.Errorf("%q: %t", id, got)
		}
	}
}

func TestAnAPIKnowsItsPatternsAndBodyLimit(t *testing.T) {
	a := API{Name: "a", Paths: sources("/a"), Endpoints: []EndpointDecl{endpoint("x", "/a/x")}, GraphQL: &GraphQL{MaxBody: 5}}
	if got := strings.Join(a.Patterns(), " "); got != "/a /a/x" {
		t.Error(got)
	}
	if a.MaxBody() != 5 || (&API{JSONRPC: &JSONRPC{MaxBody: 6}}).MaxBody() != 6 || (&API{}).MaxBody() != DefaultMaxBody {
		t.Error("wrong limits")
	}
}
