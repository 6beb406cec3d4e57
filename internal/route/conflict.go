package route

import "fmt"

// index puts the claims into the trie, and refuses the pairs of which nobody
// could say which one decides: equal patterns, and patterns that overlap
// though neither is more specific.
func (b *builder) index() {
	t := b.table
	first := make(map[string]int, len(t.claims))
	var all exactNode
	for i := range t.claims {
		c := &t.claims[i]
		j, twice := first[c.Pattern]
		if !twice {
			first[c.Pattern] = i
			t.paths.insert(c.pattern, i)
			all.insert(c)
			continue
		}
		b.twice(&t.claims[j], c)
	}
	for i := range t.claims {
		c := &t.claims[i]
		if first[c.Pattern] != i {
			continue
		}
		if other := all.conflict(c); other != nil {
			b.fault(c.Where, "%s %s overlaps %s %s%s and neither is more specific: make one of them more specific",
				c.owner()+":", quoted(c.Pattern), other.owner()+":", quoted(other.Pattern), at(other.Where))
		}
	}
}

// twice handles a pattern that stands in the table already. An endpoint may
// name a whole path of its own API; anything else is a fault.
func (b *builder) twice(kept, c *claim) {
	switch {
	case kept.api == c.api && c.api != nil && kept.endpoint == "" && c.endpoint != "":
		kept.endpoint = c.endpoint
	case kept.api == c.api && kept.endpoint == c.endpoint:
		b.fault(c.Where, "%s: %s is there twice%s: remove one", c.owner(), quoted(c.Pattern), at(kept.Where))
	default:
		b.fault(c.Where, "%s: %s is already claimed by %s%s", c.owner(), quoted(c.Pattern), kept.owner(), at(kept.Where))
	}
}

// owner names what the claim belongs to.
func (c *claim) owner() string {
	switch {
	case c.api == nil:
		return "public"
	case c.endpoint != "":
		return fmt.Sprintf("api %q: endpoint %q", c.api.Name, c.endpoint)
	}
	return fmt.Sprintf("api %q", c.api.Name)
}

// exactNode is a trie over segments as written, with a last empty segment
// for a trailing slash. It lives during Compile only. Checking a pattern
// follows its segments, so that 100 000 patterns are checked without
// comparing each with each.
type exactNode struct {
	literals map[string]*exactNode
	capture  *exactNode
	bare     *claim
	any      *claim
	beyond   *union // the nodes below, made when asked for
}

// exactSegments are the segments of p, and whether it takes anything after.
func (p *pattern) exactSegments() ([]string, bool) {
	if p.end != endsSlash {
		return p.segments, p.end == endsAny
	}
	return append(p.segments[:len(p.segments):len(p.segments)], ""), false
}

func (n *exactNode) insert(c *claim) {
	segments, takesAny := c.exactSegments()
	for i, s := range segments {
		n = n.grow(s, i == c.capture)
	}
	if takesAny {
		n.any = c
	} else {
		n.bare = c
	}
}

func (n *exactNode) grow(segment string, capture bool) *exactNode {
	if capture {
		if n.capture == nil {
			n.capture = &exactNode{}
		}
		return n.capture
	}
	child := n.literals[segment]
	if child == nil {
		if n.literals == nil {
			n.literals = make(map[string]*exactNode)
		}
		child = &exactNode{}
		n.literals[segment] = child
	}
	return child
}

// conflict returns a claim that overlaps c though neither is more specific,
// of those that capture an earlier segment than c does. As two patterns of
// which none captures are nested or disjoint, and so are two that capture the
// same segment, asking every claim finds every conflict.
func (n *exactNode) conflict(c *claim) *claim {
	segments, takesAny := c.exactSegments()
	for i, s := range segments {
		if i == c.capture || n == nil {
			return nil
		}
		if n.capture != nil && s != "" {
			if other := n.capture.overlap(segments, i+1, c.capture, takesAny); other != nil {
				return other
			}
		}
		n = n.literals[s]
	}
	return nil
}

// overlap finds below n, which a capture led to, a claim that overlaps the
// pattern whose segments from i on are given, and does not contain it.
func (n *exactNode) overlap(segments []string, i, capture int, takesAny bool) *claim {
	for ; n != nil && i < len(segments); i++ {
		if i == capture {
			return n.overlapCapture(segments, i+1, takesAny)
		}
		n = n.literals[segments[i]]
	}
	if n == nil || !takesAny {
		return nil
	}
	for _, child := range n.literals {
		return child.anyClaim()
	}
	return nil
}

// overlapCapture goes on where the other pattern captures: any literal there
// makes each of the two more specific than the other in one segment.
func (n *exactNode) overlapCapture(segments []string, i int, takesAny bool) *claim {
	if n.beyond == nil {
		n.beyond = &union{}
		for s, child := range n.literals {
			if s != "" {
				n.beyond.add(child)
			}
		}
	}
	return n.beyond.meet(segments[i:], takesAny)
}

// union is several nodes as if they were one. It is made when first asked for,
// level by level, so that asking for many patterns costs no more than one look
// at every node.
type union struct {
	nodes    []*exactNode
	bare     *claim
	any      *claim
	literals map[string]*union
}

func (u *union) add(n *exactNode) {
	u.nodes = append(u.nodes, n)
	if n.bare != nil {
		u.bare = n.bare
	}
	if n.any != nil {
		u.any = n.any
	}
}

func (u *union) literal(segment string) *union {
	if u.literals == nil {
		u.literals = make(map[string]*union)
		for _, n := range u.nodes {
			for s, child := range n.literals {
				if u.literals[s] == nil {
					u.literals[s] = &union{}
				}
				u.literals[s].add(child)
			}
		}
	}
	return u.literals[segment]
}

// meet finds at or below u any claim that overlaps the given segments.
func (u *union) meet(segments []string, takesAny bool) *claim {
	for _, s := range segments {
		if u.any != nil {
			return u.any
		}
		if u = u.literal(s); u == nil {
			return nil
		}
	}
	if !takesAny {
		return u.bare
	}
	if u.any != nil {
		return u.any
	}
	for _, n := range u.nodes {
		for _, child := range n.literals {
			return child.anyClaim()
		}
	}
	return nil
}

// anyClaim returns some claim at or below n; every node has one.
func (n *exactNode) anyClaim() *claim {
	for {
		if n.bare != nil {
			return n.bare
		}
		if n.any != nil {
			return n.any
		}
		if n.capture != nil {
			n = n.capture
			continue
		}
		for _, child := range n.literals {
			n = child
			break
		}
	}
}
