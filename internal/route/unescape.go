package route

import (
	"net/url"
	"strings"
)

// Unescape spells the path of u without escapes of characters that mean the
// same without one (RFC 3986, sections 2.3 and 6.2.2.2): /pu%62lic becomes
// /public, and /a%20b stays. It reports whether it changed anything.
//
// Match judges the decoded path, and some routers (that of Express) compare
// paths without decoding them: what is sent on must be what was judged.
func Unescape(u *url.URL) bool {
	if u == nil || u.RawPath == "" || u.RawPath != u.EscapedPath() { // else RawPath is not what is sent
		return false
	}
	spelled := unescape(u.RawPath)
	if spelled == u.RawPath {
		return false
	}
	u.RawPath = "" // where Go's own spelling is the same, none is kept
	if u.EscapedPath() != spelled {
		u.RawPath = spelled
	}
	return true
}

// unescape decodes the unreserved characters of a path with valid escapes.
func unescape(raw string) string {
	var b strings.Builder
	kept := 0 // up to where raw is in b
	for i := 0; i+2 < len(raw); i++ {
		if raw[i] != '%' {
			continue
		}
		if c := unhex(raw[i+1])<<4 | unhex(raw[i+2]); isUnreserved(c) {
			b.WriteString(raw[kept:i])
			b.WriteByte(c)
			kept = i + 3
		}
		i += 2
	}
	if kept == 0 {
		return raw
	}
	b.WriteString(raw[kept:])
	return b.String()
}

// isUnreserved reports whether c means the same encoded or not (RFC 3986,
// section 2.3).
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}
