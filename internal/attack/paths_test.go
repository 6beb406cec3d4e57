package attack

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	requestsEach = 4000
	// seed is any number: with it, a failure is repeated.
	seed = 20260102
)

// No upstream, however it reads paths and methods, serves what the key may not
// do. The same requests go to the upstream directly as well: there, many are
// served what their path seems not to ask for, or this test would show nothing.
func TestNoUpstreamServesWhatTheKeyMayNot(t *testing.T) {
	s := newSite(t, guarded, upstreams(t))
	s.callers = newCallers(s.Gateway)
	for i, u := range s.upstreams {
		t.Run(u.name, func(t *testing.T) {
			a := s.newAssault(t, i)
			a.expectEveryHandler()
			n := cmp.Or(u.requests, requestsEach)
			g := newGenerator(seed)
			for range n {
				a.send(g.request(s.host(i)), g.IntN(len(s.callers)-1))
			}
			a.expectEffect()
			t.Logf("%d requests: %d reached the upstream, %d would have deceived a guard of prefixes", n, a.passed, a.deceits)
		})
	}
}

// What was let through once.
func TestUpstreamsThatDoNotDecodeAreNotDeceived(t *testing.T) {
	s := newSite(t, guarded, []upstream{expressUpstream(t)})
	s.callers = newCallers(s.Gateway)
	a := s.newAssault(t, 0)
	for _, c := range []struct{ method, target string }{
		{"DELETE", "/pu%62lic/a"},        // public/a here, site there
		{"POST", "/v2/def/st%61tus/a"},   // a read by rule here, run there
		{"POST", "/v2/def/%73tatus/a?x"}, // the same
		{"POST", "/rest/s%65arch"},       // a read by rule here, rest there
		{"GET", "/r%65st/users/7"},       // users here, site there
		{"PUT", "/%6f%70%65%6e/../secret"},
	} {
		for who := range s.callers {
			a.send(request{method: c.method, target: c.target, version: "HTTP/1.1"}, who)
		}
	}
	if a.passed == 0 {
		t.Error("no request reached the upstream, as the path that it means")
	}
}

// FuzzNoUpstreamServesWhatTheKeyMayNot goes on from any seed. It takes no text
// to mutate: minimizing it, by coverage that is this process's alone, would cost
// most of the time.
func FuzzNoUpstreamServesWhatTheKeyMayNot(f *testing.F) {
	s := newSite(f, guarded, upstreams(f))
	s.callers = newCallers(s.Gateway)
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		for i := range s.upstreams {
			a := s.newAssault(t, i)
			g := newGenerator(seed)
			for range 50 {
				a.send(g.request(s.host(i)), g.IntN(len(s.callers)-1))
			}
			a.close()
		}
	})
}

// assault sends requests to one upstream, through the gateway and past it.
type assault struct {
	*site
	t               *testing.T
	index           int
	upstream        *upstream
	gateway, direct wire
	sent            int
	passed          int // requests that the upstream served
	deceits         int // requests that a guard that trusts the path as sent would have let through wrongly
}

func (s *site) newAssault(t *testing.T, i int) *assault {
	a := &assault{site: s, t: t, index: i, upstream: &s.upstreams[i]}
	a.gateway.address, a.direct.address = s.address, s.upstreams[i].address
	a.direct.timeout = time.Second // some servers wait for the rest of what is no HTTP
	t.Cleanup(a.close)
	return a
}

func (a *assault) close() {
	a.gateway.close()
	a.direct.close()
}

// expectEveryHandler checks that each handler is there, and reached by who may
// do everything.
func (a *assault) expectEveryHandler() {
	a.t.Helper()
	everything := len(a.callers) - 1
	for _, c := range []struct{ path, handler string }{
		{"/public/a", "public"},
		{"/open/a", "open"},
		{"/secret/a", "secret"},
		{"/v2/abc/run", "v2/abc/run"},
		{"/v2/def/purge", "v2/def/purge"},
		{"/v2/def/status/a", "v2/def/status"},
		{"/rest/users/7", "rest/users"},
		{"/rest/orders/7", "rest/orders"},
		{"/rest/search", "rest/search"},
		{"/rest/purge", "rest/purge"},
		{"/rest/a", "rest"},
		{"/else", "site"},
	} {
		before := a.passed
		if got := a.send(request{method: "GET", target: c.path, version: "HTTP/1.1"}, everything); got != c.handler || a.passed != before+1 {
			a.t.Errorf("%s served %q for %s, want %q", a.upstream.name, got, c.path, c.handler)
		}
	}
}

// send sends a request as the caller, judges what became of it, and returns
// the handler that served it.
func (a *assault) send(r request, who int) string {
	a.t.Helper()
	c := &a.callers[who]
	a.sent++
	text := r.text(a.host(a.index), c.secret, a.sent)
	response, _, err := a.gateway.exchange(r.method, text)
	if err != nil {
		if !errors.Is(err, errHungUp) {
			a.t.Fatalf("%q: %v", text, err)
		}
		return ""
	}
	handler := a.judge(c, response, text)
	if a.isDeceit(c, &r) {
		a.deceits++
	}
	return handler
}

func (a *assault) judge(c *caller, response *http.Response, text string) string {
	a.t.Helper()
	h := response.Header
	number, reached := h.Get("X-Attack"), len(h["X-Who"]) > 0
	if !reached {
		return ""
	}
	if number != "" && number != strconv.Itoa(a.sent) {
		a.t.Fatalf("%s answered request %s to\n%s", a.upstream.name, number, clip(text))
	}
	if id, _, _ := strings.Cut(h.Get("X-Who"), "|"); id != "" && id != c.id {
		a.t.Errorf("%s believed that %q called, not %s:\n%s", a.upstream.name, h.Get("X-Who"), c.name, clip(text))
	}
	handler, method := a.upstream.handler(h.Get("X-Served")), h.Get("X-Method")
	if handler == "" || response.StatusCode >= http.StatusBadRequest && a.upstream.serves != nil {
		return "" // answered by the server itself, or no such file
	}
	a.passed++
	if !c.may(handler, method) {
		a.t.Errorf("%s served %s the %s of %s:\n%s", a.upstream.name, c.name, method, handler, clip(text))
	}
	return handler
}

// isDeceit sends the request past the gateway, and reports whether a guard
// that looks at the beginning of the path as it is sent would have let the
// caller do what it may not.
func (a *assault) isDeceit(c *caller, r *request) bool {
	if !c.may(seeming(r.target), r.method) {
		return false
	}
	defer a.direct.close() // what one request leaves behind is nothing to the next
	response, _, err := a.direct.exchange(r.method, r.text(a.upstream.address, "", a.sent))
	if err != nil || response.StatusCode >= http.StatusBadRequest {
		return false
	}
	handler := a.upstream.handler(response.Header.Get("X-Served"))
	return handler != "" && !c.may(handler, response.Header.Get("X-Method"))
}

// seeming is the handler that the beginning of a path names.
func seeming(target string) string {
	for _, h := range []struct{ prefix, handler string }{
		{"/public/", "public"},
		{"/open/", "open"},
		{"/secret", "secret"},
		{"/v2/abc/purge", "v2/abc/purge"},
		{"/v2/def/purge", "v2/def/purge"},
		{"/v2/def/status/", "v2/def/status"},
		{"/v2/abc/", "v2/abc/run"},
		{"/v2/def/", "v2/def/run"},
		{"/v2/", "v2/other/run"},
		{"/rest/users", "rest/users"},
		{"/rest/orders", "rest/orders"},
		{"/rest/purge", "rest/purge"},
		{"/rest/search", "rest/search"},
		{"/rest/", "rest"},
	} {
		if strings.HasPrefix(target, h.prefix) {
			return h.handler
		}
	}
	return "site"
}

// expectEffect checks that the requests were worth sending.
func (a *assault) expectEffect() {
	a.t.Helper()
	if a.passed == 0 {
		a.t.Errorf("no request reached %s: the test shows nothing", a.upstream.name)
	}
	if a.deceits == 0 {
		a.t.Errorf("%s would not be deceived by any request: the test shows nothing", a.upstream.name)
	}
}

func clip(text string) string {
	if len(text) > 1000 {
		text = text[:500] + " … " + text[len(text)-500:]
	}
	return fmt.Sprintf("%q", text)
}
