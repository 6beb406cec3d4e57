package route

import (
	"cmp"
	"strings"
)

// relation is how two patterns stand to each other, as sets of paths.
type relation uint8

const (
	disjoint     relation = iota
	equal                 // the same paths
	narrower              // the first is more specific
	broader               // the second is more specific
	incomparable          // they overlap, neither is more specific
)

// compare relates p and q exactly: letter case and trailing slash count.
func compare(p, q *pattern) relation { return relate(p, q, false) }

// compareLoosely relates what p and q match with any letter case, and with a
// trailing slash more or less.
func compareLoosely(p, q *pattern) relation { return relate(p, q, true) }

// contains reports whether p matches, exactly, whatever q does.
func (p *pattern) contains(q *pattern) bool {
	r := compare(p, q)
	return r == equal || r == broader
}

// order puts patterns in the order of a walk: a more specific one before a
// broader one, whatever else there is in between.
func order(p, q *pattern) int {
	for i := range min(len(p.segments), len(q.segments)) {
		switch {
		case p.folded[i] == q.folded[i]:
		case i == p.capture:
			return 1
		case i == q.capture:
			return -1
		default:
			return strings.Compare(p.folded[i], q.folded[i])
		}
	}
	if d := len(q.segments) - len(p.segments); d != 0 {
		return d
	}
	return cmp.Compare(p.end, q.end)
}

// relate folds the relation of each segment, and of the endings, into one.
func relate(p, q *pattern, loosely bool) relation {
	if len(p.segments) > len(q.segments) {
		return inverse(relate(q, p, loosely))
	}
	r := equal
	for i := range p.segments {
		r = both(r, relateSegment(p, q, i, loosely))
	}
	if len(p.segments) == len(q.segments) {
		return both(r, relateEndings(p.end, q.end, loosely))
	}
	// q goes on where p ends: they meet only if p takes anything.
	if p.end != endsAny {
		return disjoint
	}
	return both(r, broader)
}

func relateSegment(p, q *pattern, i int, loosely bool) relation {
	a, b := p.segments[i], q.segments[i]
	if loosely {
		a, b = p.folded[i], q.folded[i]
	}
	switch {
	case a == b:
		return equal
	case p.capture == i:
		return broader
	case q.capture == i:
		return narrower
	}
	return disjoint
}

func relateEndings(a, b ending, loosely bool) relation {
	if loosely { // /a and /a/ are one, and /a/* has them in it
		a, b = max(a, endsSlash), max(b, endsSlash)
	}
	switch {
	case a == b:
		return equal
	case a == endsAny && b == endsSlash:
		return broader
	case a == endsSlash && b == endsAny:
		return narrower
	}
	return disjoint
}

// both relates the products of two pairs of sets.
func both(r, s relation) relation {
	switch {
	case r == disjoint || s == disjoint:
		return disjoint
	case r == equal:
		return s
	case s == equal || r == s:
		return r
	}
	return incomparable
}

func inverse(r relation) relation {
	switch r {
	case narrower:
		return broader
	case broader:
		return narrower
	case disjoint, equal, incomparable:
	}
	return r
}
