package caddymodule

import (
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-keywarden/keywarden/internal/route"
)

// forbidden are headers that no client may send on: those that tell the
// upstream who called, and those that some upstreams take for the real path.
// In lower case, with dashes.
var forbidden = [...]string{
	"x-auth-key-id", "x-auth-key-owner", "x-auth-api", "x-auth-endpoint", "x-auth-access",
	"x-original-url", "x-rewrite-url",
}

// hopFree are headers that a Connection header must not make the proxy drop:
// besides our own, those that say how the body that was judged is to be read.
var hopFree = append([]string{"content-type", "content-encoding", "content-length"}, forbidden[:]...)

// scrub removes from r what only the gateway may say, and what only the
// console may hear. It looks at the headers once: a look-up costs as much as
// passing two of them.
func scrub(r *http.Request) {
	var cookies, connection []string
	for name, values := range r.Header {
		switch name {
		case "Cookie":
			cookies = values
		case "Connection":
			connection = values
		default:
			if isForbidden(name) {
				delete(r.Header, name)
			}
		}
	}
	dropSession(r.Header, cookies)
	if slices.ContainsFunc(connection, namesHopFree) {
		cleanConnection(r.Header)
	}
}

// unescape makes the path that is judged the path that is sent, also by
// php_fastcgi, which sends Caddy's copy of the original URL.
func unescape(r *http.Request) {
	if r.URL.RawPath == "" || !route.Unescape(r.URL) {
		return
	}
	r.RequestURI = r.URL.RequestURI()
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		route.Unescape(original.URL)
	}
}

func dropForbidden(h http.Header) {
	for name := range h {
		if isForbidden(name) {
			delete(h, name)
		}
	}
}

func isForbidden(name string) bool {
	return name != "" && (name[0] == 'X' || name[0] == 'x') && isOneOf(forbidden[:], name)
}

func isOneOf(names []string, name string) bool {
	for _, n := range names {
		if sameFolded(n, name) {
			return true
		}
	}
	return false
}

// sameFolded compares a header's name with a lower-case one as the laxest
// upstream would: CGI and WSGI turn dashes into underscores, PHP dots too, and
// none looks at the letter case.
func sameFolded(lower, name string) bool {
	if len(lower) != len(name) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c == '_' || c == '.':
			c = '-'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// namesHopFree reports whether a value of Connection names a header that must
// reach the upstream.
func namesHopFree(value string) bool {
	for option := range strings.SplitSeq(value, ",") {
		if isOneOf(hopFree, trimOWS(option)) {
			return true
		}
	}
	return false
}

// cleanConnection takes those names out of Connection, and leaves the rest.
func cleanConnection(h http.Header) {
	var kept []string
	for _, value := range h["Connection"] {
		for option := range strings.SplitSeq(value, ",") {
			if option = trimOWS(option); option != "" && !isOneOf(hopFree, option) {
				kept = append(kept, option)
			}
		}
	}
	if len(kept) == 0 {
		delete(h, "Connection")
		return
	}
	h["Connection"] = []string{strings.Join(kept, ", ")}
}

// trimOWS trims optional whitespace (RFC 9110, section 5.6.3), and the line
// ends that Caddy's proxy trims as well.
func trimOWS(s string) string { return strings.Trim(s, " \t\r\n") }

// guardTrailers keeps forbidden names out of the trailers as well, which are
// there only when the body has been read to its end.
func guardTrailers(r *http.Request) {
	dropForbidden(r.Trailer)
	// Without an announcement r.Trailer is nil, and what comes is put into
	// net/http's own request, of which Caddy's is a copy. Bodies of unknown
	// length are guarded all the same, where r is that request itself.
	if r.Body == nil || r.Body == http.NoBody || r.Trailer == nil && r.ContentLength >= 0 {
		return
	}
	r.Body = &trailerGuard{ReadCloser: r.Body, request: r}
}

// trailerGuard is a body that cleans the trailers when it ends: net/http has
// put them into the request by then, and the proxy reads them after.
type trailerGuard struct {
	io.ReadCloser
	request *http.Request
}

// Read reads from the body.
func (g *trailerGuard) Read(p []byte) (int, error) {
	n, err := g.ReadCloser.Read(p)
	if err != nil {
		dropForbidden(g.request.Trailer)
	}
	return n, err
}
