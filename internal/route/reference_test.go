package route

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// slowTargets is Match as plainly as possible: the target of the most
// specific of the claims that match exactly, and those of the more specific
// ones that match loosely, as sorted texts; nil where nothing matches.
func slowTargets(claims []claim, path string) []string {
	var best *claim
	for i := range claims {
		if _, ok := slowMatch(claims[i].Pattern, path); !ok {
			continue
		}
		if best == nil || compare(claims[i].pattern, best.pattern) == narrower {
			best = &claims[i]
		}
	}
	if best == nil {
		return nil
	}
	targets := map[string]bool{}
	for i := range claims {
		c := &claims[i]
		_, exact := slowMatch(c.Pattern, path)
		beside := compareLoosely(c.pattern, best.pattern)
		if c != best && (exact || c.api == nil || beside == equal || beside == broader || !slowMatchLoosely(c.Pattern, path)) {
			continue
		}
		target, ok := slowTarget(c, path)
		if !ok {
			return nil
		}
		targets[target] = true
	}
	if len(targets) > 1 {
		delete(targets, "public")
	}
	return slices.Sorted(maps.Keys(targets))
}

func slowTarget(c *claim, path string) (string, bool) {
	if c.api == nil {
		return "public", true
	}
	endpoint := c.endpoint
	if i := slices.Index(strings.Split(c.Pattern, "/"), "{endpoint}"); i >= 0 {
		endpoint = strings.Split(path, "/")[i]
		if !ValidEndpoint(endpoint) {
			return "", false
		}
	}
	return c.api.Name + "/" + endpoint, true
}

// gotTargets is what Match says in the same form.
func gotTargets(m Match, matched bool) []string {
	switch {
	case !matched:
		return nil
	case m.Public:
		return []string{"public"}
	}
	out := []string{m.API.Name + "/" + m.Endpoint}
	for _, t := range m.Also() {
		out = append(out, t.API.Name+"/"+t.Endpoint)
	}
	slices.Sort(out)
	return out
}

// drawPath draws a path that patterns of drawPattern often match.
func drawPath(t *rapid.T) string {
	literal := rapid.SampledFrom([]string{"a", "b", "A", "B", "ab", "AB", "aB", "z"})
	path := "/" + strings.Join(rapid.SliceOfN(literal, 0, 5).Draw(t, "path"), "/")
	if path != "/" && rapid.Bool().Draw(t, "slash") {
		path += "/"
	}
	return path
}

// drawConfig draws a configuration that Compile accepts: what it refuses is
// left out, one pattern after the other.
func drawConfig(t *rapid.T) Config {
	c := Config{APIs: []API{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
	for i := range rapid.IntRange(1, 8).Draw(t, "patterns") {
		p := drawPattern(t, "pattern")
		next := c
		next.APIs = slices.Clone(c.APIs)
		owner := rapid.IntRange(-1, len(c.APIs)-1).Draw(t, "owner")
		switch {
		case owner < 0:
			next.Public = append(slices.Clone(c.Public), Source{Pattern: p})
		case strings.Contains(p, "{") || rapid.Bool().Draw(t, "is path"):
			next.APIs[owner].Paths = append(slices.Clone(c.APIs[owner].Paths), Source{Pattern: p})
		default:
			next.APIs[owner].Endpoints = append(slices.Clone(c.APIs[owner].Endpoints), endpoint(fmt.Sprintf("e%d", i), p))
		}
		if _, err := Compile(used(next)); err == nil {
			c = next
		}
	}
	return used(c)
}

// used leaves out APIs without a pattern.
func used(c Config) Config {
	c.APIs = slices.DeleteFunc(slices.Clone(c.APIs), func(a API) bool { return len(a.Patterns()) == 0 })
	return c
}

func TestMatchingEqualsTheSlowReference(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		table, err := Compile(drawConfig(rt))
		if err != nil {
			rt.Fatal(err)
		}
		for range 20 {
			path := drawPath(rt)
			got := gotTargets(table.Match("GET", path, NoUpgrade))
			if diff := cmp.Diff(slowTargets(table.claims, path), got); diff != "" {
				rt.Fatalf("%s (-want +got):\n%s", path, diff)
			}
		}
	})
}

// slowAccess is the contract's words on rules, as plainly as possible.
func slowAccess(list []Rule, method, path string, upgrade bool) permission.Access {
	if upgrade {
		return max(slowJudge(list, MethodWebSocket, path), slowJudge(list, http.MethodGet, path))
	}
	return slowJudge(list, method, path)
}

func slowJudge(list []Rule, method, path string) permission.Access {
	type matching struct {
		*pattern
		access permission.Access
	}
	var found []matching
	for _, r := range list {
		names := len(r.Methods) == 0 && (method != MethodWebSocket || r.Access == permission.Write) ||
			slices.Contains(r.Methods, method) || method == "HEAD" && slices.Contains(r.Methods, "GET")
		for _, s := range r.Patterns {
			_, exact := slowMatch(s.Pattern, path)
			if names && (exact || r.Access == permission.Write && slowMatchLoosely(s.Pattern, path)) {
				p, _ := parsePattern(s)
				found = append(found, matching{p, r.Access})
			}
		}
	}
	access := permission.None
	for _, m := range found {
		if !slices.ContainsFunc(found, func(n matching) bool { return compareLoosely(n.pattern, m.pattern) == narrower }) {
			access = max(access, m.access)
		}
	}
	switch {
	case access != permission.None:
		return access
	case method == "GET" || method == "HEAD" || method == "OPTIONS":
		return permission.Read
	}
	return permission.Write
}

func TestRulesEqualTheSlowReference(t *testing.T) {
	methods := rapid.SampledFrom([]string{"GET", "HEAD", "POST", "OPTIONS", MethodWebSocket})
	rapid.Check(t, func(rt *rapid.T) {
		a := API{Name: "a", Paths: sources("/*")}
		// Up to fewRules are tried one by one, more are walked.
		for range rapid.IntRange(1, fewRules+4).Draw(rt, "rules") {
			a.Rules = append(a.Rules, Rule{
				Access:   rapid.SampledFrom([]permission.Access{permission.Read, permission.Write}).Draw(rt, "access"),
				Methods:  rapid.SliceOfNDistinct(methods, 0, 2, rapid.ID).Draw(rt, "methods"),
				Patterns: sources(drawPattern(rt, "rule")),
			})
		}
		table, err := Compile(Config{APIs: []API{a}})
		if err != nil {
			rt.Fatal(err)
		}
		for range 20 {
			path, method, upgrade := drawPath(rt), methods.Draw(rt, "method"), NoUpgrade
			if method == MethodWebSocket {
				method, upgrade = http.MethodGet, WebSocketUpgrade
			}
			m, matched := table.Match(method, path, upgrade)
			if want := slowAccess(a.Rules, method, path, upgrade != NoUpgrade); !matched || m.Access != want {
				rt.Fatalf("%s %s (upgrade %d): %s, want %s", method, path, upgrade, m.Access, want)
			}
		}
	})
}

// Empty segments are refused before anybody asks, but here both must agree on
// them as well.
func TestRulesTriedOneByOneMatchAsInAWalk(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var set ruleSet
		for i := range rapid.IntRange(1, fewRules).Draw(rt, "rules") {
			p, err := parsePattern(Source{Pattern: drawPattern(rt, "rule")})
			if err != nil {
				rt.Fatal(err)
			}
			set.patterns.insert(p, i)
			set.list = append(set.list, leaf{p, i})
		}
		segment := rapid.SampledFrom([]string{"a", "b", "ab", "z", ""})
		for range 20 {
			p := newPath("/" + strings.Join(rapid.SliceOfN(segment, 0, 5).Draw(rt, "path"), "/"))
			walked, tried := map[int]bool{}, map[int]bool{}
			set.patterns.walk(&p, func(l *leaf, exact bool) bool {
				walked[l.index] = exact
				return true
			})
			set.each(&p, func(l *leaf, exact bool) bool {
				tried[l.index] = exact
				return true
			})
			if diff := cmp.Diff(walked, tried); diff != "" {
				rt.Fatalf("%s (-walked +tried):\n%s", p.text, diff)
			}
		}
	})
}

func TestRulesBeyondWhatIsRememberedAreStillStrict(t *testing.T) {
	// A read rule for every place that a capture can take: ten that match and
	// of which none is more specific than another.
	a := API{Name: "a", Paths: sources("/*")}
	for i := range 10 {
		segments := strings.Split(strings.Repeat("x", 10), "")
		segments[i] = "{endpoint}"
		a.Rules = append(a.Rules, rule("read POST /"+strings.Join(segments, "/")))
	}
	path := strings.Repeat("/x", 10)
	table := mustCompile(t, Config{APIs: []API{a}})
	if m, _ := table.Match("POST", path, NoUpgrade); m.Access != permission.Read {
		t.Errorf("ten read rules: %s", m.Access)
	}
	a.Rules = append(a.Rules, rule("write POST "+path+"/*"))
	table = mustCompile(t, Config{APIs: []API{a}})
	if m, _ := table.Match("POST", path+"/", NoUpgrade); m.Access != permission.Write {
		t.Errorf("and a write rule that alone matches: %s", m.Access)
	}
}

func TestDeepAndLongPathsAreCutLikeShortOnes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		segment := rapid.SampledFrom([]string{"a", "é", "A", strings.Repeat("b", 300), strings.Repeat("c", 40_000)})
		segments := rapid.SliceOfN(segment, 0, 40).Draw(rt, "segments")
		text := "/" + strings.Join(segments, "/")
		if rapid.Bool().Draw(rt, "slash") && text != "/" {
			text += "/"
		}
		p := newPath(text)
		if p.segments != len(segments) || p.plain != plain(text) || p.slash != strings.HasSuffix(text, "/") {
			rt.Fatalf("%d segments, want %d; plain %t, slash %t", p.segments, len(segments), p.plain, p.slash)
		}
		start := 0
		for i, want := range segments {
			end := p.end(i, start)
			if got := p.segment(i); got != want || p.bare[start+1:end] != want {
				rt.Fatalf("segment %d is %.10q and %.10q, want %.10q", i, got, p.bare[start+1:end], want)
			}
			start = end
		}
		if got := p.segment(len(segments)); got != "" || start != len(p.bare) {
			rt.Fatalf("after the last segment there is %.10q", got)
		}
	})
}

// Twenty segments are more than are noted.
func TestADeepCaptureAndARuleOnItAreFound(t *testing.T) {
	deep := strings.Repeat("/x", 20)
	table := mustCompile(t, Config{APIs: []API{{
		Name: "a", Paths: sources(deep + "/{endpoint}/*"), Rules: rules("read POST "+deep+"/{endpoint}/status", "write GET "+deep+"/{endpoint}/purge"),
	}}})
	for _, c := range []struct{ method, path, want string }{
		{"POST", deep + "/abc/status", "a/abc read"},
		{"POST", deep + "/abc/status/", "a/abc write"},
		{"GET", deep + "/abc/PURGE/", "a/abc write"},
		{"GET", deep + "/abc/x", "a/abc read"},
		{"GET", deep + "/abc", "none"},
	} {
		if got := show(table.Match(c.method, c.path, NoUpgrade)); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.path, got, c.want)
		}
	}
}
