package route

import (
	"fmt"
	"net/http"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// BodyError says why a request can't be understood well enough to say whether
// it reads or writes. Its text is for the caller.
type BodyError struct{ Reason string }

// Error returns the reason.
func (e *BodyError) Error() string { return e.Reason }

func unreadable(format string, args ...any) error {
	return &BodyError{fmt.Sprintf(format, args...)}
}

// Classify says what a request whose access depends on its body needs. body is
// all of the body, as the upstream will receive it. The error is a *BodyError.
func (a *API) Classify(r *http.Request, body []byte) (permission.Access, error) {
	if err := checkTransfer(r, body); err != nil {
		return permission.None, err
	}
	switch {
	case a.GraphQL != nil:
		return classifyGraphQL(r, body)
	case a.JSONRPC != nil:
		return a.calls.classify(r, body)
	}
	return permission.Write, nil
}

// checkTransfer refuses bodies that the upstream could see otherwise.
func checkTransfer(r *http.Request, body []byte) error {
	if len(r.Header["Content-Encoding"]) > 0 {
		return unreadable("a Content-Encoding is not accepted here: send the body as it is")
	}
	if r.Method == http.MethodGet && len(body) > 0 {
		return unreadable("a GET with a body is not accepted here")
	}
	if len(r.Header["Content-Type"]) > 1 {
		return unreadable("the Content-Type is there more than once")
	}
	return nil
}
