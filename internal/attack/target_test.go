package attack

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// request is one hostile request.
type request struct {
	method, target string
	version        string
	headers, body  string
}

// text returns the request as it is written on the wire.
func (r *request) text(host, secret string, number int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\nHost: %s\r\nX-Attack: %d\r\n", r.method, r.target, r.version, host, number)
	if secret != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", secret)
	}
	b.WriteString(r.headers)
	if r.body != "" {
		fmt.Fprintf(&b, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", len(r.body))
	}
	b.WriteString("\r\n" + r.body)
	return b.String()
}

// generator makes hostile requests; of one seed always the same ones.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator {
	return generator{rand.New(rand.NewPCG(seed, 0x6b6579))} // nothing secret: attacks that can be repeated
}

func (g generator) pick(from []string) string { return from[g.IntN(len(from))] }

// one reports true once in n times.
func (g generator) one(n int) bool { return g.IntN(n) == 0 }

var (
	allowedPaths = []string{
		"/public/a", "/public/", "/open/a", "/open/", "/open/a/b", "/rest/users/7", "/rest/users", "/v2/abc/run", "/v2/abc/purge",
		"/v2/def/run", "/v2/def/status/a", "/v2/abc/status/a", "/", "/else", "/else/where",
	}
	forbiddenPaths = []string{
		"/secret/a", "/secret", "/secret/", "/rest/orders/7", "/rest/orders", "/rest/search", "/rest/purge", "/rest/a", "/v2/def/purge", "/v2/def/run",
		"/v2/ghi/run", "/v2/ghi/status/a",
	}
	methods = []string{
		"GET", "GET", "GET", "GET", "GET", "GET", "GET", "POST", "POST", "POST", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE",
	}
	oddMethods = []string{
		"get", "Post", "PROPFIND", "QUERY", "SEARCH", "TRACE", "CONNECT", "track", "FOO", "GETT", "GE", "WEBSOCKET", "PURGE", "LOCK", "MKCOL",
		"_", "G.T", "GET\x00", "\u0047ET\u200b", strings.Repeat("A", 300), "M-SEARCH", "PRI",
	}

	// What servers take for a slash, or forget beside one.
	slashes = []string{
		"//", "///", "/./", "/%2e/", "/%2E%2F", "/.//", "/x/../", "/x/%2e%2e/", "/x/.%2e/", "%2f", "%2F", "%252f", "%25%32%66", "%252F%252F", "\\", "%5c", "%255c", "/\\", "\\/",
		"/;/", "/;x=1/", ";/", ";x=1/", "/..;/", "/x/..;/", "/.;/", "/%00/", "%c0%af", "%e0%80%af", "%f0%80%80%af", "%c1%9c", "%u2215", "%u002f", "／", "%ef%bc%8f", "∕", "/%20/", "/+/",
		"/%09/", "/%0a/", "%0d%0a/", "/%0d", "/ ", "/.", "/%2e", "/%E2%80%8B", "/%EF%BB%BF", "%2f%2e%2f", "/..%2f", "/%2e%2e%2f", "/..%5c", "/..%255c", "/...//", "/....//", "/*/", "/~/",
	}
	// What servers cut off, or start anew after.
	tails = []string{
		"/", "//", ".", "..", "/.", "/..", "/./", "%2f", "%20", "%09", "+", "%00", "%00.png", "%0a", "%0d", "%0d%0a", ";", ";.css", ";x=1", "%3b", "%3Bx", "?", "?x=1", "%3f", "%3Fx", "#", "#x", "%23", "%23x",
		"?_method=DELETE", "?_method=GET&x", "?/../public/a", "#/../public/a", "/%2e%2e/public/a", "/..;/public/a", "~", ".json", ".html", ".php", ".bak", "::$DATA", "%2e", "%2e%2e", "%c2%a0", "%e3%80%80", "*", "/*",
		"%", "%2", "%zz", "%u0020", "|", "\"", "'", "<", "{", "}", "^", "`", "\x7f", "\x01", "\t", " ", "%ff", "%fe", "\xff", "é", "%C3%A9", "%c3%28", "%ED%A0%80", "/a.txt", "/index.html", "%2f..", "/x%2f..%2f", "&", "=", "@", ",", "!", "$",
	}
	// What stands before a path that is no path.
	heads = []string{
		"http://{host}", "http://{host}", "HTTP://{host}", "https://{host}", "http://public", "http://localhost", "http://{host}/public/..", "http://a@{host}", "http://{host}:80", "//{host}", "//public", "//", "/.", "/./", "/..", "/../", "/%2e", "/%2f", "\\",
		"", "*", "x:", "ws://{host}", "/app", "/public/..", "/open/../", "/public/..;", "/open/..", "/open..", "/public..", "/open%2e%2e", "/open..;", "/open/.%2e", "/open/%2e.", "/open%2f..", "/open%5c..", "/public/%2e%2e%2f", "/x/..", ";", "/;", "/%3b", "/%20", "/%09", "/%00", "?", "#", "%2f", "/~", "/public\\..\\",
	}
	// Letters that fold to ASCII ones.
	foldings = map[rune][]string{'s': {"%c5%bf", "ſ"}, 'k': {"%e2%84%aa"}, 'i': {"%c4%b1", "%c4%b0"}, 'e': {"%ef%bd%85", "é"}, 'a': {"%ef%bd%81"}}

	forms = []string{"x=1", "_method=DELETE", "_method=GET", "x=1&_method=PUT", "_Method=DELETE", "_method[]=DELETE", "%5fmethod=DELETE", "_method%00=PUT", "\n_method=PUT"}

	moreHeaders = []string{
		"X-HTTP-Method-Override: DELETE\r\n", "X-HTTP-Method-Override: GET\r\n", "X-HTTP-Method: PUT\r\n", "X-Method-Override: PATCH\r\n", "x_http_method_override: DELETE\r\n",
		"X-Original-URL: /secret/a\r\n", "X-Rewrite-URL: /secret/a\r\n", "X-Forwarded-Prefix: /secret\r\n", "X-Forwarded-Uri: /secret/a\r\n", "X_Original_URL: /secret/a\r\n",
		"X-Auth-Key-Id: forged\r\n", "x_auth_key_id: forged\r\n", "X-Auth-Key-Owner: forged\r\n", "X_Auth-Access: write\r\n",
		"Connection: X-Auth-Key-Id\r\n", "Connection: X-Auth-Access, X-Attack\r\n", "Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
		"Destination: /secret/a\r\n", "Range: bytes=0-\r\n", "Accept: */*\r\n", "Expect: 100-continue\r\n", "TE: trailers\r\n", "Origin: https://x\r\nAccess-Control-Request-Method: DELETE\r\n",
	}
)

// request makes a request. Most have one or two faults: with more, nearly all
// would be refused for one of them, and the others never looked at.
func (g generator) request(host string) request {
	r := request{method: g.pick(methods), version: "HTTP/1.1"}
	if g.one(25) {
		r.method = g.pick(oddMethods)
	}
	if g.one(60) {
		r.version = "HTTP/1.0"
	}
	r.target = strings.ReplaceAll(g.target(), "{host}", host)
	if g.one(6) {
		r.headers = g.pick(moreHeaders)
	}
	if r.method == "POST" && g.one(3) {
		r.body = g.pick(forms)
	}
	return r
}

func (g generator) target() string {
	path := g.pick(forbiddenPaths)
	switch g.IntN(8) {
	case 0:
		path = g.pick(allowedPaths)
	case 1, 2:
		path = g.climb(g.pick(allowedPaths), path)
	case 3:
		path = g.pick(allowedPaths) + path
	}
	for range max(1, g.IntN(4)-g.IntN(2)) {
		path = g.spoil(path)
	}
	return path
}

// climb goes up from one path, and down to the other.
func (g generator) climb(from, to string) string {
	ups := []string{"/..", "/%2e%2e", "/.%2e", "/%2E.", "/..;", "/..;x=1", "/%2e%2e;", "\\..", "%5c..", "%2f..", "/..%00", "/%252e%252e", "/..%20", "/%c0%ae%c0%ae", "/．．", "/..."}
	path := strings.TrimRight(from, "/")
	up := g.pick(ups)
	for range strings.Count(path, "/") + g.IntN(2) {
		path += up
	}
	return path + to
}

// spoil changes one thing.
func (g generator) spoil(path string) string {
	at := g.IntN(len(path) + 1)
	switch g.IntN(14) {
	case 0, 1:
		return g.encodeOne(path)
	case 2, 3:
		return g.replaceSlash(path)
	case 4, 5:
		return path + g.pick(tails)
	case 6:
		return g.pick(heads) + path
	case 7:
		return g.fold(path)
	case 8:
		return path[:at] + g.pick(tails) + path[at:]
	case 9:
		return path[:at] + g.pick(slashes) + path[at:]
	case 10:
		if g.one(8) {
			return g.long(path)
		}
		return flipCase(path, g.IntN(len(path)+1))
	case 11:
		return g.encodeAll(path)
	case 12:
		return strings.ToUpper(path)
	}
	return path
}

// encodeOne writes one character in some other way.
func (g generator) encodeOne(path string) string {
	if path == "" {
		return "%2f"
	}
	i := g.IntN(len(path))
	c := path[i]
	forms := []string{"%%%02x", "%%%02x", "%%%02x", "%%%02X", "%%25%02x", "%%2525%02x", "%%u00%02x", "%%u00%02X", "%%25%%32%%35%02x"}
	text := fmt.Sprintf(g.pick(forms), c)
	if g.one(6) && c < 0x80 {
		text = fmt.Sprintf("%%%02x%%%02x", 0xc0|c>>6, 0x80|c&0x3f)
	}
	return path[:i] + text + path[i+1:]
}

func (g generator) encodeAll(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if c := path[i]; c == '/' && g.IntN(4) > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

func (g generator) replaceSlash(path string) string {
	n := strings.Count(path, "/")
	if n == 0 {
		return path + g.pick(slashes)
	}
	at := -1
	for range 1 + g.IntN(n) {
		at += 1 + strings.IndexByte(path[at+1:], '/')
	}
	return path[:at] + g.pick(slashes) + path[at+1:]
}

func (g generator) fold(path string) string {
	for i, r := range path {
		if others := foldings[r]; others != nil && g.one(2) {
			return path[:i] + g.pick(others) + path[i+1:]
		}
	}
	return path
}

func flipCase(path string, at int) string {
	for i := range len(path) {
		j := (at + i) % len(path)
		if c := path[j] | 0x20; 'a' <= c && c <= 'z' {
			return path[:j] + string(path[j]^0x20) + path[j+1:]
		}
	}
	return path
}

// long makes a path longer than buffers that people choose.
func (g generator) long(path string) string {
	n := []int{256, 1024, 4096, 8192, 20_000}[g.IntN(5)]
	filler := g.pick([]string{"/.", "/x/..", "//", "a", "/a", "%2e", ";a", "%00", "/%2e"})
	return strings.Repeat(filler, n/len(filler)) + path
}
