package route

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// slowOverrides is the contract's word on headers that override the method:
// none twice, in whatever spelling, and none with another value.
func slowOverrides(r *http.Request) bool {
	seen := map[string]int{}
	for name, values := range r.Header {
		name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		if name != "x-http-method-override" && name != "x-http-method" && name != "x-method-override" {
			continue
		}
		seen[name] += len(values)
		for _, v := range values {
			if v != r.Method {
				return false
			}
		}
	}
	for _, n := range seen {
		if n > 1 {
			return false
		}
	}
	return true
}

// slowUpgrade reads the upgrade by looking headers up.
func slowUpgrade(r *http.Request) Upgrade {
	values := r.Header["Upgrade"]
	protocol, extended := r.Header[":protocol"]
	extended = extended && r.ProtoMajor != 1
	switch {
	case r.Method == http.MethodConnect:
		h2 := r.ProtoMajor == 2 && len(protocol) == 1 && protocol[0] == "websocket"
		h3 := r.ProtoMajor == 3 && r.Proto == "websocket" && len(protocol) <= 1
		if len(values) == 0 && (h2 || h3) {
			return WebSocketUpgrade
		}
		return OtherUpgrade
	case len(values) == 0 && !extended:
		return NoUpgrade
	case len(values) == 1 && !extended && strings.ToLower(values[0]) == "websocket" && r.Method == http.MethodGet:
		return WebSocketUpgrade
	}
	return OtherUpgrade
}

func TestHeadersReadInOnePassEqualHeadersLookedUp(t *testing.T) {
	names := rapid.SampledFrom([]string{
		"X-HTTP-Method-Override", "X-Http-Method-Override", "x_http_method_override", "X-HTTP_Method", "X-Method-Override", "X_METHOD-OVERRIDE",
		"X-HTTP-Method-Overridf", "X-Method", "XXHTTP-Method", "Upgrade", "upgrade", "Upgradf", "Upgrade-Insecure-Requests", ":protocol", ":authority", "Accept", "X", "",
	})
	methods := rapid.SampledFrom([]string{"GET", "POST", "CONNECT", "get"})
	values := rapid.SliceOfN(rapid.SampledFrom([]string{"GET", "POST", "websocket", "WebSocket", "web\u017focket", "h2c", ""}), 0, 2)
	rapid.Check(t, func(rt *rapid.T) {
		r := &http.Request{Method: methods.Draw(rt, "method"), URL: &url.URL{Path: "/a"}, Header: http.Header(rapid.MapOfN(names, values, 0, 5).Draw(rt, "headers"))}
		r.ProtoMajor = rapid.IntRange(1, 3).Draw(rt, "version")
		r.Proto = rapid.SampledFrom([]string{"HTTP/1.1", "websocket"}).Draw(rt, "protocol")
		if got, want := Ambiguous(r), slowOverrides(r); (got == "") != want {
			rt.Fatalf("%v: %q", r.Header, got)
		}
		if got, want := UpgradeOf(r), slowUpgrade(r); got != want {
			rt.Fatalf("%s over HTTP/%d, %v: upgrade %d, want %d", r.Method, r.ProtoMajor, r.Header, got, want)
		}
	})
}
