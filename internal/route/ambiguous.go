package route

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Ambiguous returns why the upstream could read a request differently than
// Match does, in words for the caller; "" if it could not (contract, section
// 2, "Ambiguous requests"). It judges r.URL, which is what the reverse proxy
// sends on, and the headers that override the method. It does not allocate
// unless it refuses.
func Ambiguous(r *http.Request) string {
	u := r.URL
	switch {
	case u == nil || u.Opaque != "" || u.Path == "" || u.Path[0] != '/':
		return "the request target is not a path that begins with /"
	case u.Fragment != "" || u.RawFragment != "" || strings.Contains(u.RawQuery, "#"):
		return "the request target has a #"
	}
	if reason := decodedFault(u.Path); reason != "" {
		return reason
	}
	// Where RawPath does not decode to Path, it is not what is sent (see
	// url.URL.EscapedPath); it is refused all the same if it has an escape
	// that means a separator.
	if reason := escapedFault(u.RawPath); reason != "" {
		return reason
	}
	return overrideFault(r)
}

// escapedFault judges what decoding hides: whether a separator was encoded.
func escapedFault(raw string) string {
	for {
		i := strings.IndexByte(raw, '%')
		if i < 0 {
			return ""
		}
		raw = raw[i+1:]
		if len(raw) < 2 || !isHex(raw[0]) || !isHex(raw[1]) {
			return "the path has an invalid percent escape"
		}
		switch unhex(raw[0])<<4 | unhex(raw[1]) {
		case '/':
			return "the path has an encoded slash"
		case '\\':
			return "the path has an encoded backslash"
		}
		raw = raw[2:]
	}
}

// decodedFault judges a decoded path, which begins with a slash.
func decodedFault(path string) string {
	last, size := rune('/'), 0
	for i := 0; i < len(path); i += size {
		var r rune
		if r, size = rune(path[i]), 1; r >= utf8.RuneSelf {
			if r, size = utf8.DecodeRuneInString(path[i:]); size == 1 {
				return "the path is not valid UTF-8"
			}
		}
		if reason := runeFault(r, path[i:]); reason != "" {
			return reason
		}
		if r == '/' && i > 0 {
			if reason := endFault(last, path[:i]); reason != "" {
				return reason
			}
		}
		last = r
	}
	if last == '/' {
		return "" // "/" itself, or a path that ends in one slash
	}
	return endFault(last, path)
}

// runeFault judges the first rune of rest by itself.
func runeFault(r rune, rest string) string {
	switch {
	case r == '\\':
		return "the path has a backslash"
	case r == '#':
		return "the path has a #"
	case r == '?':
		return "the path has an encoded question mark"
	case r == ';':
		return "the path has a ; parameter"
	case r == '%' && startsEscape(rest):
		return "the path is percent-encoded twice"
	case unicode.IsControl(r):
		return "the path has a control character"
	}
	return ""
}

// endFault judges how a segment ends, by its last rune; '/' means that it is
// empty. Windows drops dots and spaces there, and many a framework trims.
func endFault(last rune, pathUpToHere string) string {
	switch {
	case last == '/':
		return "the path has an empty segment"
	case last == '.':
		segment := pathUpToHere[strings.LastIndexByte(pathUpToHere, '/')+1:]
		if segment == "." || segment == ".." {
			return "the path has a dot segment"
		}
		return "a segment of the path ends in a dot"
	case isTrimmed(last):
		return "a segment of the path ends in a space"
	}
	return ""
}

// isTrimmed reports whether some trim function takes r for white space: all
// that Unicode calls so, and the invisible ones that are or were taken for it.
func isTrimmed(r rune) bool {
	if r < utf8.RuneSelf {
		return r == ' '
	}
	switch r {
	case '\u180E', '\u200B', '\u200C', '\u200D', '\u2060', '\uFEFF':
		return true
	}
	return unicode.IsSpace(r) || unicode.Is(unicode.Z, r)
}

// hasEscape reports whether s has a percent sign before two hex digits, or
// before the u and four of them that IIS understands.
func hasEscape(s string) bool {
	for i := range len(s) {
		if s[i] == '%' && startsEscape(s[i:]) {
			return true
		}
	}
	return false
}

func startsEscape(s string) bool {
	if len(s) >= 3 && isHex(s[1]) && isHex(s[2]) {
		return true
	}
	return len(s) >= 6 && (s[1] == 'u' || s[1] == 'U') && isHex(s[2]) && isHex(s[3]) && isHex(s[4]) && isHex(s[5])
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
