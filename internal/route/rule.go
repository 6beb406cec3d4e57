package route

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// ruleSet is the rules of one API, one for each pattern.
type ruleSet struct {
	rules    []compiledRule
	patterns node
	// list has the same patterns in the order of a walk, up to fewRules: so
	// few are tried faster one by one.
	list []leaf
	// kinds are the rules without their patterns, each once: most requests
	// have a method that no rule is for, and need no walk.
	kinds []compiledRule
}

const fewRules = 8

type compiledRule struct {
	access  permission.Access
	methods []string // empty: all
}

// rules compiles the rules of an API whose patterns are claims.
func (b *builder) rules(api *API, what string, claims []claim) {
	for _, r := range api.Rules {
		what := what + ": " + r.Access.String()
		if r.Access != permission.Read && r.Access != permission.Write {
			b.fault(api.Where, "%s: expected a rule of read or write", what)
			continue
		}
		if len(r.Patterns) == 0 {
			b.fault(api.Where, "%s has no pattern: expected one or more", what)
			continue
		}
		if err := checkMethods(r.Methods); err != nil {
			b.fault(r.Patterns[0].Where, "%s: %v", what, err)
		}
		if r.Access == permission.Read && !onlyWebSocket(r.Methods) {
			b.readRule(api, what, r.Patterns[0])
		}
		for _, s := range r.Patterns {
			b.rulePattern(api, what, r, s, claims)
		}
	}
	slices.SortStableFunc(api.rules.list, func(a, b leaf) int { return order(a.pattern, b.pattern) })
}

// readRule refuses rules that grant, in APIs where something else decides what
// reads.
func (b *builder) readRule(api *API, what string, first Source) {
	switch {
	case api.byBody():
		b.fault(first.Where, "%s: the body decides what reads in this api, so only read %s is possible: "+
			"declare the paths that have no such body as an api of their own", what, MethodWebSocket)
	case api.GRPC != nil:
		b.fault(first.Where, "%s: the block grpc decides what reads in this api: name the methods there, grpc { read Package.Service/Method }", what)
	}
}

func (b *builder) rulePattern(api *API, what string, r Rule, s Source, claims []claim) {
	p := b.parse(what, s)
	if p == nil {
		return
	}
	if !slices.ContainsFunc(claims, func(c claim) bool { return meets(p, c.pattern, r.Access) }) {
		b.fault(s.Where, "%s %s never applies: it lies outside every pattern of the api", what, quoted(p.Pattern))
	}
	set := &api.rules
	set.patterns.insert(p, len(set.rules))
	set.list = append(set.list, leaf{p, len(set.rules)})
	kind := compiledRule{r.Access, r.Methods}
	set.rules = append(set.rules, kind)
	if !slices.ContainsFunc(set.kinds, func(k compiledRule) bool { return k.access == kind.access && slices.Equal(k.methods, kind.methods) }) {
		set.kinds = append(set.kinds, kind)
	}
}

// meets reports whether a rule's pattern can match a path of the claim's.
func meets(rule, claim *pattern, access permission.Access) bool {
	if access == permission.Write {
		return compareLoosely(rule, claim) != disjoint
	}
	return compare(rule, claim) != disjoint
}

func onlyWebSocket(methods []string) bool {
	return len(methods) == 1 && methods[0] == MethodWebSocket
}

func checkMethods(methods []string) error {
	var errs []error
	for i, m := range methods {
		switch {
		case m == http.MethodTrace || m == http.MethodConnect:
			errs = append(errs, fmt.Errorf("%s is refused always: leave it out", m))
		case !knownMethods[m] && knownMethods[strings.ToUpper(m)]:
			errs = append(errs, fmt.Errorf("method %q: expected %s, methods are upper-case", m, strings.ToUpper(m)))
		case !knownMethods[m]:
			errs = append(errs, fmt.Errorf("method %q is not known: expected GET, POST, … or %s", m, MethodWebSocket))
		case slices.Contains(methods[:i], m):
			errs = append(errs, fmt.Errorf("method %s is named twice", m))
		}
	}
	return errors.Join(errs...)
}

// names reports whether the rule is for the method. A rule for GET covers
// HEAD, which is a GET without the body of the answer.
func (r *compiledRule) names(method string) bool {
	return len(r.methods) == 0 || slices.Contains(r.methods, method) ||
		method == http.MethodHead && slices.Contains(r.methods, http.MethodGet)
}

// access returns what a request needs by its method and the rules.
//
// An upgrade is judged twice: as WEBSOCKET, and as the plain request that it
// still is for an upstream that ignores the upgrade. So a rule
// "write GET /a" can't be slipped past with an Upgrade header.
func (s *ruleSet) access(method string, p *requestPath, upgrade Upgrade) permission.Access {
	if upgrade == NoUpgrade {
		if method == MethodWebSocket {
			return permission.Write // a method of that very name is no upgrade
		}
		return s.judge(method, p, readsByDefault(method), false)
	}
	if upgrade != WebSocketUpgrade || s.judge(MethodWebSocket, p, false, true) == permission.Write {
		return permission.Write
	}
	return s.judge(http.MethodGet, p, true, false)
}

// judge returns what the rules make of a method that reads or not by itself.
// It lets the most specific of the matching rules decide: it is a read if
// some rule matches, and every matching write rule has a read rule that
// matches and is strictly more specific. So write wins ties, and wins against
// a rule that is neither more nor less specific.
func (s *ruleSet) judge(method string, p *requestPath, granted, mustName bool) permission.Access {
	if s.couldChange(method, granted) {
		h := hearing{method: method, granted: granted, mustName: mustName}
		s.each(p, func(l *leaf, exact bool) bool { return h.hear(&s.rules[l.index], l.pattern, exact) })
		granted = h.granted
	}
	if granted {
		return permission.Read
	}
	return permission.Write
}

// each calls visit with every rule that matches p loosely, as a walk does.
func (s *ruleSet) each(p *requestPath, visit func(l *leaf, exact bool) bool) {
	if !p.plain || len(s.list) > fewRules {
		s.patterns.walk(p, visit)
		return
	}
	for i := range s.list {
		l := &s.list[i]
		if loosely, exactly := l.fits(p); loosely && !visit(l, exactly) {
			return
		}
	}
}

// hearing is of the rules that match, a more specific one before a broader one.
type hearing struct {
	method   string
	granted  bool
	mustName bool // a rule for all methods does not grant
	reads    readRules
}

// hear takes a matching rule up; it returns false when no other can change
// what is granted.
func (h *hearing) hear(rule *compiledRule, p *pattern, exact bool) bool {
	if !rule.names(h.method) {
		return true
	}
	if rule.access == permission.Write {
		h.granted = h.reads.override(p)
		return h.granted
	}
	// A rule that grants matches exactly.
	if exact && (len(rule.methods) > 0 || !h.mustName) {
		h.granted = true
		h.reads.add(p)
	}
	return true
}

// couldChange reports whether a rule for the method says otherwise than the
// method itself does.
func (s *ruleSet) couldChange(method string, reads bool) bool {
	otherwise := permission.Read
	if reads {
		otherwise = permission.Write
	}
	for i := range s.kinds {
		if k := &s.kinds[i]; k.access == otherwise && k.names(method) {
			return true
		}
	}
	return false
}

// readRules are the read rules that match a path, the most specific ones. It
// is bounded so that it stays on the stack: one that finds no room can't
// override a write rule, which errs on the strict side.
type readRules struct {
	rules [8]*pattern
	n     int
}

func (r *readRules) add(p *pattern) {
	if r.n == len(r.rules) || r.override(p) {
		return // a rule that is more specific still is there: it overrides whatever p would
	}
	r.rules[r.n] = p
	r.n++
}

// override reports whether a rule of r is strictly more specific than p.
func (r *readRules) override(p *pattern) bool {
	for _, read := range r.rules[:r.n] {
		if compareLoosely(read, p) == narrower {
			return true
		}
	}
	return false
}
