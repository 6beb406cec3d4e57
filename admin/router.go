package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// route is a path with what serves each of its methods. http.ServeMux is not
// used: it redirects a path with a dot segment or an empty one, and says 404
// and 405 in plain text.
type route struct {
	segments []string // "{name}" captures
	methods  map[string]handler
	allow    []string
}

// captured holds what a route captured of a path, decoded.
type captured map[string]string

type handler func(http.ResponseWriter, *http.Request, captured)

// handle puts a handler on a path; one for GET answers HEAD as well.
func (a *api) handle(method, pattern string, serve handler) {
	segments := strings.Split(strings.TrimPrefix(pattern, "/"), "/")
	i := slices.IndexFunc(a.routes, func(r route) bool { return slices.Equal(r.segments, segments) })
	if i < 0 {
		i = len(a.routes)
		a.routes = append(a.routes, route{segments: segments, methods: map[string]handler{}})
	}
	r := &a.routes[i]
	r.methods[method] = serve
	r.allow = append(r.allow, method)
	if method == http.MethodGet {
		r.methods[http.MethodHead] = serve
		r.allow = append(r.allow, http.MethodHead)
	}
}

// find returns the route of an escaped path. A literal segment is worth more
// than a captured one: /v1/keys/import is no key.
func (a *api) find(escaped string) (*route, captured) {
	segments := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	var best *route
	var path captured
	for i := range a.routes {
		r := &a.routes[i]
		if got, ok := r.match(segments); ok && (best == nil || len(got) < len(path)) {
			best, path = r, got
		}
	}
	return best, path
}

func (r *route) match(segments []string) (captured, bool) {
	if len(segments) != len(r.segments) {
		return nil, false
	}
	path := captured{}
	for i, want := range r.segments {
		if !strings.HasPrefix(want, "{") {
			if segments[i] != want {
				return nil, false
			}
			continue
		}
		value, err := url.PathUnescape(segments[i])
		if err != nil || value == "" || !utf8.ValidString(value) {
			return nil, false
		}
		path[strings.Trim(want, "{}")] = value
	}
	return path, true
}

// ServeHTTP answers a request of the admin API.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, path := a.find(r.URL.EscapedPath())
	if found == nil {
		a.writeError(w, r, errNoSuchPath)
		return
	}
	serve, ok := found.methods[r.Method]
	if !ok {
		w.Header().Set("Allow", strings.Join(found.allow, ", "))
		a.writeError(w, r, methodNotAllowed(found.allow))
		return
	}
	serve(w, r, path)
}
