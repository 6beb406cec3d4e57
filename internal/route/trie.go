package route

import "unicode/utf8"

// node is a trie over the folded segments of patterns. A walk costs a map
// look-up a segment, however many patterns there are. As a pattern has at most
// one capture, a walk forks at most once on its way to any pattern.
type node struct {
	literals children
	capture  *node
	leaves   [endings][]leaf
}

// children are nodes by their folded literal. Most nodes have few, which are
// found faster by comparing than by hashing.
type children struct {
	few  []child
	many map[string]*node
}

type child struct {
	literal string
	*node
}

const fewChildren = 8

func (c *children) none() bool { return c.few == nil && c.many == nil }

func (c *children) get(literal string) *node {
	if c.many != nil {
		return c.many[literal]
	}
	for i := range c.few {
		if c.few[i].literal == literal {
			return c.few[i].node
		}
	}
	return nil
}

// getBytes is get without making a string.
func (c *children) getBytes(literal []byte) *node {
	if c.many != nil {
		return c.many[string(literal)]
	}
	for i := range c.few {
		if c.few[i].literal == string(literal) {
			return c.few[i].node
		}
	}
	return nil
}

func (c *children) add(literal string, n *node) {
	if c.many == nil && len(c.few) < fewChildren {
		c.few = append(c.few, child{literal, n})
		return
	}
	if c.many == nil {
		c.many = make(map[string]*node)
		for _, f := range c.few {
			c.many[f.literal] = f.node
		}
		c.few = nil
	}
	c.many[literal] = n
}

// leaf is a pattern, and its place in the list that the trie is an index of.
type leaf struct {
	*pattern
	index int
}

func (n *node) insert(p *pattern, index int) {
	for i, literal := range p.folded {
		n = n.grow(literal, i == p.capture)
	}
	n.leaves[p.end] = append(n.leaves[p.end], leaf{p, index})
}

func (n *node) grow(literal string, capture bool) *node {
	if capture {
		if n.capture == nil {
			n.capture = &node{}
		}
		return n.capture
	}
	next := n.literals.get(literal)
	if next == nil {
		next = &node{}
		n.literals.add(literal, next)
	}
	return next
}

// walk calls visit with every pattern that matches p loosely: in any letter
// case, and with a trailing slash more or less. exact says whether it matches
// as it stands. A more specific pattern comes before a broader one. The walk
// ends when visit returns false.
func (n *node) walk(p *requestPath, visit func(l *leaf, exact bool) bool) {
	n.step(p, 0, 0, visit)
}

// step goes on from the slash at start, which begins the path's depth-th segment.
func (n *node) step(p *requestPath, depth, start int, visit func(*leaf, bool) bool) bool {
	if start == len(p.bare) {
		return n.visit(p, endsBare, !p.slash, visit) && n.visit(p, endsSlash, p.slash, visit) && n.visit(p, endsAny, p.slash, visit)
	}
	if n.capture != nil || !n.literals.none() {
		end := p.end(depth, start)
		segment := p.bare[start+1 : end]
		if child := n.literal(segment, p.plain); child != nil && !child.step(p, depth+1, end, visit) {
			return false
		}
		if n.capture != nil && segment != "" && !n.capture.step(p, depth+1, end, visit) {
			return false
		}
	}
	return n.visit(p, endsAny, true, visit)
}

func (n *node) literal(segment string, plain bool) *node {
	if plain {
		return n.literals.get(segment)
	}
	var buffer [maxSegment + utf8.UTFMax]byte
	folded := buffer[:0]
	for _, r := range segment {
		folded = utf8.AppendRune(folded, foldRune(r))
		if len(folded) > maxSegment {
			return nil // longer than any literal
		}
	}
	return n.literals.getBytes(folded)
}

func (n *node) visit(p *requestPath, end ending, slashFits bool, visit func(*leaf, bool) bool) bool {
	leaves := n.leaves[end]
	for i := range leaves {
		l := &leaves[i]
		exact := slashFits && (p.plain && l.plain || l.matchesCase(p.text))
		if !visit(l, exact) {
			return false
		}
	}
	return true
}
