package route

import (
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Ambiguous returns why the upstream could read a request differently than
// Match does, in words for the caller; "" if it could not (contract, section
// 2, "Ambiguous requests"). It does not allocate unless it refuses.
func Ambiguous(r *http.Request) string {
	if reason := AmbiguousURL(r.URL); reason != "" {
		return reason
	}
	h := headersOf(r)
	return h.Fault()
}

// AmbiguousURL is Ambiguous of what stands in the request line. It judges the
// URL, which is what the reverse proxy sends on; Headers judges the rest.
func AmbiguousURL(u *url.URL) string {
	switch {
	case u == nil || u.Opaque != "" || u.Path == "" || u.Path[0] != '/':
		return "the request target is not a path that begins with /"
	case u.Fragment != "" || u.RawFragment != "" || strings.IndexByte(u.RawQuery, '#') >= 0:
		return "the request target has a #"
	}
	if reason := decodedFault(u.Path); reason != "" {
		return reason
	}
	if u.RawPath == "" {
		return ""
	}
	// Where RawPath does not decode to Path, it is not what is sent (see
	// url.URL.EscapedPath); it is refused all the same if it has an escape
	// that means a separator.
	return escapedFault(u.RawPath)
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

// suspect marks the ASCII characters that may be a fault, and all bytes of
// other ones: an ordinary path is one look-up a byte.
var suspect = func() (marked [256]bool) {
	for c := range marked {
		marked[c] = c < ' ' || c >= 0x7f || strings.ContainsRune(`/\#?;%`, rune(c))
	}
	return marked
}()

// harmless marks the ASCII characters that mean nothing to anybody wherever
// they stand in a segment: all that are printable but . / \ # ? ; % and space.
var harmless = func() (table [256]bool) {
	for c := '!'; c <= '~'; c++ {
		table[c] = !strings.ContainsRune(`./\#?;%`, c)
	}
	return table
}()

// decodedFault judges a decoded path, which begins with a slash. Nearly all
// paths are segments of harmless characters: they need one look a character.
func decodedFault(path string) string {
	for i := 1; i < len(path); i++ {
		if !harmless[path[i]] && (path[i] != '/' || !harmless[path[i-1]]) {
			return unusualFault(path)
		}
	}
	return ""
}

func unusualFault(path string) string {
	for i := 1; i < len(path); {
		c := path[i]
		if !suspect[c] {
			i++
			continue
		}
		if c == '/' {
			if reason := endFault(path[:i]); reason != "" {
				return reason
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(path[i:])
		if reason := runeFault(r, size, path[i:]); reason != "" {
			return reason
		}
		i += size
	}
	if path[len(path)-1] == '/' {
		return "" // "/" itself, or a path that ends in one slash
	}
	return endFault(path)
}

// runeFault judges the first rune of rest by itself.
func runeFault(r rune, size int, rest string) string {
	switch {
	case r == utf8.RuneError && size == 1:
		return "the path is not valid UTF-8"
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

// endFault judges how the last segment of a path ends. Windows drops dots and
// spaces there, and many a framework trims.
func endFault(path string) string {
	switch c := path[len(path)-1]; {
	case c == '/':
		return "the path has an empty segment"
	case c == '.':
		if segment := path[strings.LastIndexByte(path, '/')+1:]; segment == "." || segment == ".." {
			return "the path has a dot segment"
		}
		return "a segment of the path ends in a dot"
	case c == ' ' || c >= utf8.RuneSelf:
		if last, _ := utf8.DecodeLastRuneInString(path); isTrimmed(last) {
			return "a segment of the path ends in a space"
		}
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
