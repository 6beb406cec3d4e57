package route

import (
	"math"
	"strings"
	"unicode/utf8"
)

// requestPath is a request's path, cut into segments once for all that look
// at it.
type requestPath struct {
	text     string
	bare     string // text without one trailing slash
	slash    bool   // whether there was one
	plain    bool   // whether folding leaves it alone
	segments int
	// ends are where in bare the first segments end: all of them, but for
	// paths that are unusually deep or long.
	ends  [16]uint16
	noted int
}

// kinds says which bytes of a path matter to newPath: one look-up a byte.
var kinds = func() (table [256]uint8) {
	for c := range table {
		if c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			table[c] = foldedKind
		}
	}
	table['/'] = slashKind
	return table
}()

const (
	slashKind  = 1
	foldedKind = 2 // folding may change it
)

// newPath cuts a path that begins with a slash.
func newPath(text string) requestPath {
	p := requestPath{text: text, bare: text}
	if text[len(text)-1] == '/' {
		p.bare, p.slash = text[:len(text)-1], true
	}
	bare, seen := p.bare, uint8(0)
	for i := 1; i < len(bare); i++ {
		kind := kinds[bare[i]]
		seen |= kind
		if kind == slashKind {
			p.endAt(i)
		}
	}
	p.plain = seen&foldedKind == 0
	if bare != "" {
		p.endAt(len(bare))
	}
	return p
}

func (p *requestPath) endAt(i int) {
	if p.segments < len(p.ends) && i <= math.MaxUint16 {
		p.ends[p.segments] = uint16(i) //nolint:gosec // G115: it fits
		p.noted++
	}
	p.segments++
}

// end returns where the n-th segment ends, which begins with the slash at start.
func (p *requestPath) end(n, start int) int {
	if n < p.noted {
		return int(p.ends[n])
	}
	if i := strings.IndexByte(p.bare[start+1:], '/'); i >= 0 {
		return start + 1 + i
	}
	return len(p.bare)
}

// segment returns the n-th segment; "" where there is none.
func (p *requestPath) segment(n int) string {
	if n >= p.segments {
		return ""
	}
	start := 0
	if n < p.noted {
		if n > 0 {
			start = int(p.ends[n-1])
		}
		return p.bare[start+1 : p.ends[n]]
	}
	for i := range n {
		start = p.end(i, start)
	}
	return p.bare[start+1 : p.end(n, start)]
}
