package route

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// GRPC says that the API speaks gRPC: the path names the method that is
// called, /package.Service/Method, and HTTP's own method is always POST.
type GRPC struct {
	// Read are the methods that read, as Package.Service/Method; a trailing *
	// stands for anything, nothing included. Every other method writes.
	Read []string
}

// newGRPCSet reads the names of methods that read.
func newGRPCSet(list []string) (nameSet, error) {
	set, err := newNameSet(list)
	errs := []error{err}
	for _, name := range list {
		errs = append(errs, checkGRPCName(name))
	}
	return set, errors.Join(errs...)
}

// checkGRPCName refuses names that no call has: a line that does nothing
// should say so at load.
func checkGRPCName(name string) error {
	const expected = "expected Package.Service/Method, or the beginning of one and *"
	if rest, found := strings.CutPrefix(name, "/"); found {
		return fmt.Errorf("method %q begins with a slash: expected %q", name, rest)
	}
	service, method, found := strings.Cut(name, "/")
	if name == "" || !found && strings.HasSuffix(name, "*") {
		return nil // newNameSet speaks of empty ones; "pkg.*" is a beginning
	}
	if service == "" || method == "" || strings.Contains(method, "/") {
		return fmt.Errorf("method %q: %s", name, expected)
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("method %q: %s, in printable ASCII", name, expected)
	}
	return nil
}

// readsGRPC reports whether a call is of a method that reads. Only a POST is a
// call; and only a path of two segments is one: a * must not reach over a
// slash, because servers differ on what they make of a third segment.
func (s *nameSet) readsGRPC(method, path string) bool {
	if method != http.MethodPost || path == "" || strings.Count(path, "/") != 2 {
		return false
	}
	return s.has(path[1:])
}

// grpcPatterns refuses names that lie outside every pattern of the API.
func (b *builder) grpcPatterns(api *API, what string, claims []claim) {
	for _, name := range api.GRPC.Read {
		prefix, open := strings.CutSuffix(name, "*")
		if open {
			service, _, found := strings.Cut(prefix, "/")
			if !found || service+"/" != prefix {
				continue // a part of a segment: patterns can't say that
			}
		}
		p, err := parsePattern(Source{Pattern: "/" + name})
		if err != nil {
			continue // newGRPCSet has said so, or nobody can call it
		}
		inside := false
		for _, c := range claims {
			inside = inside || compare(p, c.pattern) != disjoint
		}
		if !inside {
			b.fault(api.Where, "%s: grpc read %s never applies: /%s lies outside every pattern of the api", what, name, name)
		}
	}
}
