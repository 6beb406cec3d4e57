package attack

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

// An upstream is a real server that routes requests in its own way. All serve
// the same handlers: public, open, secret, v2/ENDPOINT/status|purge|run,
// rest, rest/users|orders|search|purge, and site for everything else. Each
// answer says in headers what the upstream believed:
//
//	X-Served  the handler
//	X-Method  the method
//	X-Attack  the request's number
//	X-Who     the values of the identity headers, X-Auth-*, between |
//
// What does not arrive at a handler (a redirect, a 404) has no X-Served.
type upstream struct {
	name, address string
	// serves maps what X-Served holds to a handler, where it is not its name.
	serves func(served string) string
	// before is what stands before the guard in the gateway's configuration.
	before string
	// requests is how many make test sends, where 4000 would take long.
	requests int
}

func (u *upstream) handler(served string) string {
	if u.serves == nil || served == "" {
		return served
	}
	return u.serves(served)
}

// upstreams starts one of each.
func upstreams(t testing.TB) []upstream {
	t.Helper()
	var all []upstream
	all = append(all, goUpstreams(t)...)
	all = append(all, nginxUpstreams(t)...)
	all = append(all, httpdUpstreams(t)...)
	return append(all, expressUpstream(t), wsgiUpstream(t))
}

func expressUpstream(t testing.TB) upstream {
	t.Helper()
	node, script := program(t, "node", "nodejs"), testdata(t, "node/server.js")
	testdata(t, "node/node_modules/express")
	address := serve(t, 1, func(ports []string) *exec.Cmd {
		return exec.Command(node, script, ports[0]) // it ends with the test
	})
	return upstream{name: "express", address: address[0]}
}

func wsgiUpstream(t testing.TB) upstream {
	t.Helper()
	python, script := program(t, "python3"), testdata(t, "python/server.py")
	address := serve(t, 1, func(ports []string) *exec.Cmd {
		return exec.Command(python, script, ports[0]) // it ends with the test
	})
	return upstream{name: "wsgi", address: address[0], requests: 1000}
}

// goUpstreams are net/http's ServeMux, and a server that reads everything in
// the way that is worst for us.
func goUpstreams(t testing.TB) []upstream {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, handler := range map[string]string{
		"/public": "public", "/public/": "public", "/open": "open", "/open/": "open", "/secret": "secret", "/secret/": "secret", "/": "site",
		"/v2/{id}/status": "v2/:id/status", "/v2/{id}/status/": "v2/:id/status", "/v2/{id}/purge": "v2/:id/purge", "/v2/{id}/": "v2/:id/run",
		"/rest/": "rest", "/rest/users": "rest/users", "/rest/users/": "rest/users",
		"/rest/orders": "rest/orders", "/rest/orders/": "rest/orders", "/rest/search": "rest/search", "/rest/purge": "rest/purge",
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			report(w, r, strings.Replace(handler, ":id", url.PathEscape(r.PathValue("id")), 1))
		})
	}
	generous := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		report(w, r, generousHandler(r.RequestURI))
	})
	return []upstream{
		{name: "servemux", address: listen(t, mux)},
		{name: "servemux behind strip_prefix", address: listen(t, mux), before: "\turi strip_prefix /app\n"},
		{name: "generous", address: listen(t, generous)},
	}
}

func listen(t testing.TB, handler http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.MaxHeaderBytes = 8 << 20
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func report(w http.ResponseWriter, r *http.Request, served string) {
	h := w.Header()
	h.Set("X-Served", served)
	h.Set("X-Method", r.Method)
	h.Set("X-Attack", r.Header.Get("X-Attack"))
	h.Set("X-Who", who(r.Header))
}

func who(h http.Header) string {
	var values []string
	for _, name := range []string{"X-Auth-Key-Id", "X-Auth-Key-Owner", "X-Auth-Api", "X-Auth-Endpoint", "X-Auth-Access"} {
		values = append(values, strings.Join(h.Values(name), ","))
	}
	return strings.Join(values, "|")
}

// generousHandler reads a request target as every server does at once that was
// ever fooled: it decodes until there is nothing more to decode, takes overlong
// UTF-8 and IIS's %u escapes, ends at NUL, takes \ for
// /, drops parameters, spaces and dots at the ends of segments, and does not
// look at letter case. It does not take full-width dots and slashes for plain
// ones: no server is known to, and they are ordinary characters of Japanese names.
func generousHandler(target string) string {
	if rest, ok := strings.CutPrefix(target, "http://"); ok {
		_, target, _ = strings.Cut(rest, "/")
		target = "/" + target
	}
	text, _, _ := strings.Cut(target, "?")
	for {
		decoded := decodeLoosely(text)
		if decoded == text {
			break
		}
		text = decoded
	}
	for _, end := range []string{"\x00", "#", "?"} {
		text, _, _ = strings.Cut(text, end)
	}
	text = strings.ToLower(strings.ToUpper(strings.ReplaceAll(text, "\\", "/")))
	segments := strings.Split(text, "/")
	for i, s := range segments {
		s, _, _ = strings.Cut(s, ";")
		if strings.Trim(s, ". \t\r\n\v\f\u00a0\u3000") != "" {
			s = strings.TrimRight(s, ". \t\r\n\v\f\u00a0\u3000")
		}
		segments[i] = s
	}
	return handlerOf(strings.Split(strings.Trim(path.Clean("/"+strings.Join(segments, "/")), "/"), "/"))
}

// handlerOf returns the handler of a clean path.
func handlerOf(s []string) string {
	at := func(i int) string {
		if i < len(s) {
			return s[i]
		}
		return ""
	}
	switch {
	case s[0] == "public" || s[0] == "open" || s[0] == "secret":
		return s[0]
	case s[0] == "v2" && (at(2) == "status" || at(2) == "purge" && len(s) == 3):
		return "v2/" + url.PathEscape(s[1]) + "/" + s[2]
	case s[0] == "v2" && len(s) > 2:
		return "v2/" + url.PathEscape(s[1]) + "/run"
	case s[0] != "rest":
		return "site"
	}
	switch at(1) {
	case "users", "orders", "search", "purge":
		return "rest/" + s[1]
	}
	return "rest"
}

// decodeLoosely decodes once, what can be decoded.
func decodeLoosely(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if c, ok := hexAt(s, i+1, 2); ok {
			b.WriteByte(byte(c))
			i += 2
		} else if i+1 < len(s) && s[i+1]|0x20 == 'u' {
			if c, ok = hexAt(s, i+2, 4); !ok {
				b.WriteByte('%')
				continue
			}
			b.WriteRune(rune(c))
			i += 5
		} else {
			b.WriteByte('%')
		}
	}
	return shortenOverlong(b.String())
}

func hexAt(s string, at, digits int) (value int, ok bool) {
	if at+digits > len(s) {
		return 0, false
	}
	for _, c := range []byte(s[at : at+digits]) {
		d := strings.IndexByte("0123456789abcdef", c|0x20)
		if c < '0' || d < 0 {
			return 0, false
		}
		value = value<<4 | d
	}
	return value, true
}

// shortenOverlong reads ASCII that is written in two or three bytes of UTF-8.
func shortenOverlong(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case i+1 < len(s) && s[i]&0xfe == 0xc0:
			b.WriteByte(s[i]&1<<6 | s[i+1]&0x3f)
			i++
		case i+2 < len(s) && s[i] == 0xe0 && s[i+1]&0xfe == 0x80:
			b.WriteByte(s[i+1]&1<<6 | s[i+2]&0x3f)
			i += 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
