package route

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// ending is how a pattern, or a path, ends after its last segment.
type ending uint8

const (
	endsBare  ending = iota // /a/b
	endsSlash               // /a/b/
	endsAny                 // /a/b/*: a slash and anything after it

	endings
)

const (
	captureSegment = "{endpoint}"
	// maxSegment bounds a literal, so that a request's segment can be folded
	// in a buffer on the stack; maxSegments bounds the depth of a table.
	maxSegment  = 255
	maxSegments = 64
)

// pattern is one parsed pattern.
type pattern struct {
	Source
	// segments are the literals as written; the captured one is "".
	segments []string
	// folded are the literals as the trie has them.
	folded  []string
	capture int // index of the captured segment, or -1
	end     ending
	// plain says that all literals are ASCII without capitals.
	plain bool
}

// parsePattern reads a pattern. The error says what is wrong with it, without
// naming it.
func parsePattern(s Source) (*pattern, error) {
	p := &pattern{Source: s, capture: -1}
	body, ok := strings.CutPrefix(s.Pattern, "/")
	if !ok {
		return nil, fmt.Errorf("expected a path that begins with /")
	}
	body = p.cutEnding(body)
	if body == "" && p.end != endsBare {
		p.plain = true
		return p, nil
	}
	for segment := range strings.SplitSeq(body, "/") {
		if err := p.add(segment); err != nil {
			return nil, err
		}
	}
	if len(p.segments) > maxSegments {
		return nil, fmt.Errorf("it has %d segments, at most %d are possible", len(p.segments), maxSegments)
	}
	p.plain = plain(s.Pattern)
	return p, nil
}

// cutEnding notes how the pattern ends, and returns the segments before.
func (p *pattern) cutEnding(body string) string {
	switch {
	case body == "":
		p.end = endsSlash
	case body == "*":
		p.end, body = endsAny, ""
	case strings.HasSuffix(body, "/*"):
		p.end, body = endsAny, strings.TrimSuffix(body, "/*")
		if body == "" {
			body = "/" // "//*" has an empty segment, which add refuses
		}
	case strings.HasSuffix(body, "/"):
		p.end, body = endsSlash, strings.TrimSuffix(body, "/")
		if body == "" {
			body = "/"
		}
	}
	return body
}

func (p *pattern) add(segment string) error {
	if segment == captureSegment {
		if p.capture >= 0 {
			return fmt.Errorf("it captures two segments, only one {endpoint} is possible")
		}
		p.capture = len(p.segments)
		segment = ""
	} else if err := checkLiteral(segment); err != nil {
		return err
	}
	p.segments = append(p.segments, segment)
	p.folded = append(p.folded, string(appendFold(nil, segment)))
	return nil
}

// checkLiteral refuses what no request could match, as requests with it are
// ambiguous, and what looks like another kind of pattern.
func checkLiteral(segment string) error {
	switch {
	case segment == "":
		return fmt.Errorf("it has an empty segment")
	case len(segment) > maxSegment:
		return fmt.Errorf("it has a segment of %d bytes, at most %d are possible", len(segment), maxSegment)
	case strings.Contains(segment, "*"):
		return fmt.Errorf("* is possible only as a last /*")
	case strings.ContainsAny(segment, "{}"):
		return fmt.Errorf("%q is no segment: the only capture is {endpoint}, alone between slashes", segment)
	case !utf8.ValidString(segment):
		return fmt.Errorf("it is not valid UTF-8")
	case hasEscape(segment):
		return fmt.Errorf("%q is percent-encoded: patterns match the decoded path, so write it decoded", segment)
	}
	if reason := decodedFault("/" + segment); reason != "" {
		return fmt.Errorf("no request can match it: %s", reason)
	}
	return nil
}

// matchesCase reports whether the literals of p are exactly those of path,
// which is known to match p in folded form.
func (p *pattern) matchesCase(path string) bool {
	for _, literal := range p.segments {
		segment, rest := cutSegment(path)
		if literal != "" && literal != segment {
			return false
		}
		path = rest
	}
	return true
}

// fits reports whether p matches path loosely, and whether as it stands. It
// is for plain paths, which folding leaves alone.
func (p *pattern) fits(path *requestPath) (loosely, exactly bool) {
	more := path.segments - len(p.folded)
	if more < 0 || more > 0 && p.end != endsAny {
		return false, false
	}
	// From the end, as what lies within one API begins alike.
	for i, literal := range slices.Backward(p.folded) {
		segment := path.segment(i)
		if i == p.capture && segment == "" || i != p.capture && segment != literal {
			return false, false
		}
	}
	slash := more > 0 || path.slash // after the last segment of p
	return true, slash == (p.end != endsBare) && (p.plain || p.matchesCase(path.text))
}

// cutSegment returns the first segment of a path, and the path after it:
// "/a/b" is "a" and "/b".
func cutSegment(path string) (segment, rest string) {
	if path == "" {
		return "", ""
	}
	path = path[1:]
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}
