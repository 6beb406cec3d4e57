package route

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

// slowMatch is what the contract says of patterns, as plainly as possible.
func slowMatch(pattern, path string) (endpoint string, ok bool) {
	if prefix, found := strings.CutSuffix(pattern, "/*"); found {
		segments, want := strings.Split(path, "/"), strings.Split(prefix, "/")
		if len(segments) <= len(want) {
			return "", false
		}
		pattern, path = prefix, strings.Join(segments[:len(want)], "/")
	}
	segments, want := strings.Split(path, "/"), strings.Split(pattern, "/")
	if len(segments) != len(want) {
		return "", false
	}
	for i, s := range segments {
		switch {
		case want[i] == "{endpoint}" && s != "":
			endpoint = s
		case want[i] != s:
			return "", false
		}
	}
	return endpoint, true
}

// slowMatchLoosely tries the path with and without a trailing slash, in lower
// case. It is for ASCII.
func slowMatchLoosely(pattern, path string) bool {
	pattern, path = strings.ToLower(pattern), strings.ToLower(path)
	_, ok := slowMatch(pattern, path)
	if bare, found := strings.CutSuffix(path, "/"); found && path != "/" {
		_, found = slowMatch(pattern, bare)
		return ok || found
	}
	_, slashed := slowMatch(pattern, path+"/")
	return ok || slashed
}

// drawPattern draws patterns that meet often.
func drawPattern(t *rapid.T, label string) string {
	literal := rapid.SampledFrom([]string{"a", "b", "A", "ab"})
	segments := rapid.SliceOfN(literal, 0, 4).Draw(t, label)
	if len(segments) > 0 && rapid.Bool().Draw(t, "captures") {
		segments[rapid.IntRange(0, len(segments)-1).Draw(t, "captured")] = "{endpoint}"
	}
	text := "/" + strings.Join(segments, "/")
	switch end := rapid.SampledFrom([]string{"", "/", "/*"}).Draw(t, "end"); {
	case text == "/" && end != "":
		return "/" + strings.TrimPrefix(end, "/")
	default:
		return text + end
	}
}

// allPaths are all paths of up to five segments of a small alphabet, in which
// z is in no pattern.
func allPaths() []string {
	paths := []string{"/"}
	level := []string{""}
	for range 5 {
		var next []string
		for _, p := range level {
			for _, s := range []string{"a", "b", "A", "ab", "z"} {
				next = append(next, p+"/"+s)
				paths = append(paths, p+"/"+s, p+"/"+s+"/")
			}
		}
		level = next
	}
	return paths
}

// slowRelation compares the sets of paths that two patterns match.
func slowRelation(paths []string, p, q func(path string) bool) relation {
	var both, onlyP, onlyQ bool
	for _, path := range paths {
		inP, inQ := p(path), q(path)
		both = both || inP && inQ
		onlyP = onlyP || inP && !inQ
		onlyQ = onlyQ || inQ && !inP
	}
	switch {
	case !both:
		return disjoint
	case onlyP && onlyQ:
		return incomparable
	case onlyP:
		return broader
	case onlyQ:
		return narrower
	}
	return equal
}

func mustParse(t testing.TB, text string) *pattern {
	t.Helper()
	p, err := parsePattern(Source{Pattern: text})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

func TestRelationsAreThoseOfTheSetsOfPathsMatched(t *testing.T) {
	paths := allPaths()
	rapid.Check(t, func(rt *rapid.T) {
		a, b := drawPattern(rt, "a"), drawPattern(rt, "b")
		p, q := mustParse(t, a), mustParse(t, b)
		exact := slowRelation(paths,
			func(path string) bool { _, ok := slowMatch(a, path); return ok },
			func(path string) bool { _, ok := slowMatch(b, path); return ok })
		if got := compare(p, q); got != exact {
			rt.Fatalf("%s against %s is %d, want %d", a, b, got, exact)
		}
		loose := slowRelation(paths,
			func(path string) bool { return slowMatchLoosely(a, path) },
			func(path string) bool { return slowMatchLoosely(b, path) })
		if got := compareLoosely(p, q); got != loose {
			rt.Fatalf("%s against %s is loosely %d, want %d", a, b, got, loose)
		}
	})
}

func TestFoldingJoinsWhateverSomeUpstreamTakesForEqual(t *testing.T) {
	for _, same := range [][]string{
		{"k", "K", "\u212A"}, {"s", "S", "ſ"}, {"i", "I", "ı", "İ"}, {"é", "É"}, {"ß", "ẞ"}, {"σ", "Σ", "ς"}, {"å", "Å", "\u212B"}, {"ǆ", "ǅ", "Ǆ"},
	} {
		for _, other := range same[1:] {
			if !equalFold(same[0], other) {
				t.Errorf("%q and %q are told apart", same[0], other)
			}
		}
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		folded := foldRune(r)
		for _, other := range []rune{unicode.SimpleFold(r), unicode.ToUpper(r), unicode.ToLower(r), unicode.ToTitle(r), folded} {
			if foldRune(other) != folded {
				t.Errorf("%U folds to %U, its other case %U to %U", r, folded, other, foldRune(other))
			}
		}
		if before, after := len(string(r)), len(string(folded)); after > before {
			t.Errorf("%U grows from %d to %d bytes", r, before, after)
		}
		if r < 128 && plain(string(r)) != (folded == r) {
			t.Errorf("%U: plain is %t", r, plain(string(r)))
		}
	}
}

func TestPatternsThatCanNotBe(t *testing.T) {
	for _, c := range []struct{ pattern, want string }{
		{"", "begins with /"},
		{"a", "begins with /"},
		{"*", "begins with /"},
		{"//", "empty segment"},
		{"/a//b", "empty segment"},
		{"/a//", "empty segment"},
		{"//*", "empty segment"},
		{"/a//*", "empty segment"},
		{"/a/*/b", "only as a last /*"},
		{"/a*", "only as a last /*"},
		{"/*a", "only as a last /*"},
		{"/a/**", "only as a last /*"},
		{"/a/*/", "only as a last /*"},
		{"/a/*/*", "only as a last /*"},
		{"/{endpoint}/{endpoint}", "captures two"},
		{"/{id}", "only capture is {endpoint}"},
		{"/x{endpoint}", "only capture is {endpoint}"},
		{"/{endpoint", "only capture is {endpoint}"},
		{"/{ENDPOINT}", "only capture is {endpoint}"},
		{"/{endpoint...}", "only capture is {endpoint}"},
		{"/{}", "only capture is {endpoint}"},
		{"/a%20b", "percent-encoded"},
		{"/a%2fb", "percent-encoded"},
		{"/%u0041", "percent-encoded"},
		{"/./a", "dot segment"},
		{"/a/..", "dot segment"},
		{"/../*", "dot segment"},
		{"/a./b", "ends in a dot"},
		{"/a /b", "ends in a space"},
		{"/a\u00a0", "ends in a space"},
		{"/a;b", "; parameter"},
		{"/a?b", "question mark"},
		{"/a#b", "#"},
		{`/a\b`, "backslash"},
		{"/a\x00b", "control"},
		{"/a\tb", "control"},
		{"/a\xffb", "not valid UTF-8"},
		{"/" + strings.Repeat("x", 256), "256 bytes"},
		{strings.Repeat("/x", 65), "65 segments"},
	} {
		p, err := parsePattern(Source{Pattern: c.pattern})
		if err == nil {
			t.Errorf("%q was read as %+v", c.pattern, p)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want something of %q", c.pattern, err, c.want)
		}
	}
}

func TestPatternsThatCanBe(t *testing.T) {
	for _, text := range []string{
		"/", "/*", "/a", "/a/", "/a/*", "/{endpoint}", "/{endpoint}/", "/{endpoint}/*", "/a/{endpoint}/b/*", "/100%", "/50%off",
		"/a b", "/日本語/é", "/.well-known/x", "/a.b", "/~a", "/a:b@c", "/" + strings.Repeat("x", 255), strings.Repeat("/x", 64) + "/*",
	} {
		p := mustParse(t, text)
		if want := strings.Count(strings.TrimSuffix(strings.TrimSuffix(text, "*"), "/"), "/"); len(p.segments) != want {
			t.Errorf("%s has %d segments, want %d", text, len(p.segments), want)
		}
		if i := slices.Index(strings.Split(text, "/"), "{endpoint}"); i >= 0 && p.capture != i-1 {
			t.Errorf("%s captures segment %d", text, p.capture)
		}
	}
}

func TestTheOrderPutsTheMoreSpecificFirst(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		parsed := func(label string) *pattern {
			p, err := parsePattern(Source{Pattern: drawPattern(rt, label)})
			if err != nil {
				rt.Fatal(err)
			}
			return p
		}
		p, q, r := parsed("p"), parsed("q"), parsed("r")
		if related := compareLoosely(p, q); related == narrower && order(p, q) > 0 || related == broader && order(p, q) < 0 {
			rt.Fatalf("%s and %s are in the wrong order", p.Pattern, q.Pattern)
		}
		if order(p, q) != 0 && (order(p, q) < 0) == (order(q, p) < 0) {
			rt.Fatalf("%s and %s stand in either order", p.Pattern, q.Pattern)
		}
		if order(p, q) <= 0 && order(q, r) <= 0 && order(p, r) > 0 {
			rt.Fatalf("%s, %s, %s go round", p.Pattern, q.Pattern, r.Pattern)
		}
	})
}
