package route

import (
	"fmt"
	"net/http"
	"strings"

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
	if dropsContentHeader(r) {
		return unreadable("the Connection header names a header that says what the body is")
	}
	return nil
}

// dropsContentHeader reports whether a proxy that obeys the Connection header
// would take away what says how the body is to be read (RFC 9110, section
// 7.6.1): the upstream would then guess.
func dropsContentHeader(r *http.Request) bool {
	for _, line := range r.Header["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			switch token = strings.TrimSpace(token); {
			case strings.EqualFold(token, "Content-Type"), strings.EqualFold(token, "Content-Encoding"):
				return true
			}
		}
	}
	return false
}
