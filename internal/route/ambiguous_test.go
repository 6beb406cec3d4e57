package route

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

// received is the request as a server reads it from the wire; nil if Go's
// server refuses it by itself.
func received(t testing.TB, method, target string, headers ...string) *http.Request {
	t.Helper()
	text := method + " " + target + " HTTP/1.1\r\nHost: example.com\r\n" + strings.Join(append(headers, "", ""), "\r\n")
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		return nil
	}
	return r
}

func TestAmbiguousPaths(t *testing.T) {
	for _, c := range []struct{ target, want string }{
		{"/a%2fb", "encoded slash"},
		{"/a%2Fb", "encoded slash"},
		{"/a%252fb", "encoded twice"},
		{"/a%252Fb", "encoded twice"},
		{"/a%25252fb", "encoded twice"},
		{"/a%5cb", "backslash"},
		{"/a%5Cb", "backslash"},
		{"/a%255cb", "encoded twice"},
		{`/a\b`, "backslash"},
		{`/\example.com`, "backslash"},
		{"/a#b", "#"},
		{"/a%23b", "#"},
		{"/a?x#y", "#"},
		{"/a%3fb", "question mark"},
		{"/a%3Fb=c?d", "question mark"},
		{"/a%2541", "encoded twice"},
		{"/a%25zz%2500", "encoded twice"},
		{"/a%25u002fb", "encoded twice"},
		{"/.", "dot segment"},
		{"/..", "dot segment"},
		{"/./a", "dot segment"},
		{"/../a", "dot segment"},
		{"/a/..", "dot segment"},
		{"/a/../b", "dot segment"},
		{"/a/%2e%2E/b", "dot segment"},
		{"/a/.%2e/b", "dot segment"},
		{"/a/%2e/b", "dot segment"},
		{"/a/.", "dot segment"},
		{"/a/./", "dot segment"},
		{"/a/...", "ends in a dot"},
		{"/a./b", "ends in a dot"},
		{"/a.", "ends in a dot"},
		{"/a%2e", "ends in a dot"},
		{"//", "empty segment"},
		{"//a", "empty segment"},
		{"/a//b", "empty segment"},
		{"/a//", "empty segment"},
		{"/a;b", "; parameter"},
		{"/a;b=c/d", "; parameter"},
		{"/a%3bb", "; parameter"},
		{"/..;/a", "; parameter"},
		{"/a%00", "control"},
		{"/%00/a", "control"},
		{"/a%0a", "control"},
		{"/a%0d%0ab", "control"},
		{"/a%09b", "control"},
		{"/a%1fb", "control"},
		{"/a%7fb", "control"},
		{"/a%c2%85b", "control"},
		{"/a%c0%afb", "UTF-8"},
		{"/a%c0%aeb", "UTF-8"},
		{"/a%e0%80%afb", "UTF-8"},
		{"/a%f0%80%80%afb", "UTF-8"},
		{"/a%fe", "UTF-8"},
		{"/a%ff/b", "UTF-8"},
		{"/a%ed%a0%80", "UTF-8"},
		{"/a%e2%82", "UTF-8"},
		{"/a%20", "space"},
		{"/a%20/b", "space"},
		{"/%20", "space"},
		{"/a%c2%a0", "space"},
		{"/a%e3%80%80/b", "space"},
		{"/a%e2%80%a8", "space"},
		{"/a%e2%80%8b", "space"},
		{"/a%ef%bb%bf/b", "space"},
		{"/a.%20/b", "space"},
		{"/a%20./b", "dot"},
		{"*", "begins with /"},
		{"http://example.com", "begins with /"},
		{"http://example.com/a//b", "empty segment"},
	} {
		r := received(t, "OPTIONS", c.target)
		if r == nil {
			t.Errorf("%s: refused before it was judged", c.target)
			continue
		}
		if got := Ambiguous(r); !strings.Contains(got, c.want) || got == "" {
			t.Errorf("%s: %q, want something of %q", c.target, got, c.want)
		}
	}
}

func TestInvalidEscapesAreRefusedByGoOrByUs(t *testing.T) {
	for _, target := range []string{"/a%", "/a%2", "/a%zz", "/a%2gb", "/%u002f", "/a b", "/a\x00b", "/a\tb"} {
		if r := received(t, "GET", target); r != nil && Ambiguous(r) == "" {
			t.Errorf("%q passes", target)
		}
	}
	// A rewrite can leave what no client could send.
	for _, u := range []*url.URL{
		nil,
		{},
		{Path: "a"},
		{Opaque: "//x/y", Path: "/y"},
		{Path: "/a", Fragment: "b"},
		{Path: "/a", RawFragment: "b"},
		{Path: "/a/b", RawPath: "/a%2fb"},
		{Path: "/a", RawPath: "/%"},
		{Path: "/a", RawPath: "/a%2"},
		{Path: "/a", RawPath: "/a%zz"},
	} {
		if Ambiguous(&http.Request{Method: "GET", URL: u}) == "" {
			t.Errorf("%#v passes", u)
		}
	}
}

func TestOrdinaryPathsPass(t *testing.T) {
	for _, target := range []string{
		"/", "/a", "/a/", "/a/b/c", "/a%20b", "/%20a", "/100%25", "/100%25/b", "/a%25zb", "/%25", "/a.b", "/.well-known/x", "/..a",
		"/%C3%A9", "/\xc3\xa9", "/%e6%97%a5", "/a,b", "/a%2Cb", "/a:b@c", "/a!$&'()*+,=", "/a%7Cb", "/a[1]", "/~u", "/a?x=%2f..;//",
		"/a?", "/a?b=c%00", "/a%40b", "/%ef%bf%bd", "/a%E2%80%A8b", "http://example.com/a",
	} {
		r := received(t, "GET", target)
		if r == nil {
			t.Errorf("%s: refused by Go", target)
			continue
		}
		if got := Ambiguous(r); got != "" {
			t.Errorf("%s: %s", target, got)
		}
	}
}

func TestMethodOverrideHeaders(t *testing.T) {
	for _, c := range []struct {
		headers []string
		fault   string
	}{
		{nil, ""},
		{[]string{"X-HTTP-Method-Override: POST"}, ""},
		{[]string{"x-http-method: POST", "X-Method-Override: POST"}, ""},
		{[]string{"X-HTTP-Methods: GET", "X-HTTP-Method-Overrides: GET", "HTTP-Method: GET", "X-Requested-With: x"}, ""},
		{[]string{"X-HTTP-Method-Override: DELETE"}, "differs"},
		{[]string{"X-HTTP-Method-Override: post"}, "differs"},
		{[]string{"X-HTTP-Method-Override:"}, "differs"},
		{[]string{"X-HTTP-Method-Override: POST, DELETE"}, "differs"},
		{[]string{"x-http-method: DELETE"}, "differs"},
		{[]string{"X-METHOD-OVERRIDE: DELETE"}, "differs"},
		{[]string{"X_HTTP_Method_Override: DELETE"}, "differs"},
		{[]string{"x_method-override: DELETE"}, "differs"},
		{[]string{"X_HTTP-METHOD: DELETE"}, "differs"},
		{[]string{"X-HTTP-Method-Override: POST", "X-HTTP-Method-Override: POST"}, "more than once"},
		{[]string{"X-HTTP-Method-Override: POST", "X_HTTP_Method_Override: POST"}, "more than once"},
	} {
		r := received(t, "POST", "/a", c.headers...)
		got := Ambiguous(r)
		if c.fault == "" && got != "" || !strings.Contains(got, c.fault) {
			t.Errorf("%q: %q, want %q", c.headers, got, c.fault)
		}
	}
}

func TestAmbiguousDoesNotAllocateOnCleanRequests(t *testing.T) {
	r := received(t, "POST", "/v2/a%2Cb/é?x=y", "X-HTTP-Method-Override: POST", "Accept: x", "Content-Type: application/json")
	if n := testing.AllocsPerRun(100, func() {
		if Ambiguous(r) != "" || !MethodAllowed(r) || UpgradeOf(r) != NoUpgrade {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestUpgrades(t *testing.T) {
	h2 := func(major int, proto, protocol string, headers ...string) *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodConnect, "https://example.com/a", nil)
		r.ProtoMajor, r.Proto = major, proto
		if protocol != "" {
			r.Header[":protocol"] = []string{protocol}
		}
		for _, h := range headers {
			r.Header.Set(h, "x")
		}
		return r
	}
	get := func(headers ...string) *http.Request { return received(t, "GET", "/a", headers...) }
	pseudo := get()
	pseudo.ProtoMajor, pseudo.Proto = 2, "HTTP/2.0"
	pseudo.Header[":protocol"] = []string{"websocket"}
	for _, c := range []struct {
		name    string
		r       *http.Request
		want    Upgrade
		allowed bool
	}{
		{"none", get(), NoUpgrade, true},
		{"a Connection that announces what is not there", get("Connection: Upgrade"), NoUpgrade, true},
		{"a WebSocket", get("Connection: Upgrade", "Upgrade: websocket"), WebSocketUpgrade, true},
		{"in another letter case", get("Connection: keep-alive, UPGRADE", "upgrade: WebSocket"), WebSocketUpgrade, true},
		{"not announced", get("Upgrade: websocket"), WebSocketUpgrade, true},
		{"h2c", get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"), OtherUpgrade, true},
		{"not announced h2c", get("Upgrade: h2c"), OtherUpgrade, true},
		{"empty", get("Upgrade:"), OtherUpgrade, true},
		{"a list", get("Upgrade: websocket, h2c"), OtherUpgrade, true},
		{"twice", get("Upgrade: websocket", "Upgrade: websocket"), OtherUpgrade, true},
		{"two", get("Upgrade: websocket", "Upgrade: h2c"), OtherUpgrade, true},
		{"with a version", get("Upgrade: websocket/13"), OtherUpgrade, true},
		{"a long s", get("Upgrade: web\u017Focket"), OtherUpgrade, true},
		{"by POST", received(t, "POST", "/a", "Upgrade: websocket"), OtherUpgrade, true},
		{"a pseudo header on a GET", pseudo, OtherUpgrade, true},
		{"HTTP/2", h2(2, "HTTP/2.0", "websocket"), WebSocketUpgrade, true},
		{"HTTP/3", h2(3, "websocket", ""), WebSocketUpgrade, true},
		{"HTTP/2, another protocol", h2(2, "HTTP/2.0", "connect-udp"), OtherUpgrade, false},
		{"HTTP/2, no protocol", h2(2, "HTTP/2.0", ""), OtherUpgrade, false},
		{"HTTP/2, with an Upgrade", h2(2, "HTTP/2.0", "websocket", "Upgrade"), OtherUpgrade, false},
		{"HTTP/3, no protocol", h2(3, "HTTP/3.0", ""), OtherUpgrade, false},
		{"HTTP/1.1 CONNECT", h2(1, "HTTP/1.1", "websocket"), OtherUpgrade, false},
	} {
		if got := UpgradeOf(c.r); got != c.want {
			t.Errorf("%s: upgrade %d, want %d", c.name, got, c.want)
		}
		if got := MethodAllowed(c.r); got != c.allowed {
			t.Errorf("%s: allowed is %t, want %t", c.name, got, c.allowed)
		}
	}
}

func TestMethodsThatAreNeverAllowed(t *testing.T) {
	for method, want := range map[string]bool{"TRACE": false, "trace": false, "Connect": false, "CONNECT": false, "GET": true, "PURGE": true, "get": true, "": true} {
		if got := MethodAllowed(&http.Request{Method: method, URL: &url.URL{Path: "/a"}}); got != want {
			t.Errorf("%s: %t", method, got)
		}
	}
}

func FuzzAmbiguous(f *testing.F) {
	for _, target := range []string{
		"/", "/a/b", "/a%2fb", "/a%252f", "/..", "/a/%2e%2e/b", "//", "/a;b", "/a%00", "/a%c0%af", "/100%25", "/a%20", "/a%3f", "/%25%32%66", "/a?b", "/é", "*", "http://x/y",
	} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: "GET", URL: u}
		if Ambiguous(r) != "" {
			return
		}
		sent := u.EscapedPath()
		decoded, err := url.PathUnescape(sent)
		switch {
		case err != nil || decoded != u.Path:
			t.Errorf("%q: judged %q, sent %q", target, u.Path, sent)
		case strings.TrimSuffix(path.Clean(decoded), "/") != strings.TrimSuffix(decoded, "/"):
			t.Errorf("%q: %q is not clean", target, decoded)
		case !utf8.ValidString(decoded) || strings.ContainsAny(decoded, "\\;#?\x00\r\n\t"):
			t.Errorf("%q: %q", target, decoded)
		case strings.Count(sent, "/") != strings.Count(decoded, "/"):
			t.Errorf("%q: decoding %q makes a slash", target, sent)
		}
		if again, err := url.PathUnescape(decoded); err == nil && again != decoded {
			t.Errorf("%q: %q decodes once more", target, decoded)
		}
		for segment := range strings.SplitSeq(decoded[1:], "/") {
			if trimmed := strings.TrimRight(strings.TrimRightFunc(segment, isSpaceAnywhere), "."); trimmed != segment {
				t.Errorf("%q: segment %q ends in what is trimmed", target, segment)
			}
		}
	})
}

func isSpaceAnywhere(r rune) bool { return strings.ContainsRune(" \t\u00a0\u2003\u3000\ufeff", r) }
