package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/problem"
)

// refusal is an error that knows the answer it makes. Codes are for programs
// and never change.
type refusal struct{ problem.Problem }

func (r *refusal) Error() string { return r.Detail }

func refuse(status int, code, title, detail string) *refusal {
	return &refusal{problem.Problem{Status: status, Code: code, Title: title, Detail: detail}}
}

func refusef(status int, code, title, format string, args ...any) *refusal {
	return refuse(status, code, title, fmt.Sprintf(format, args...))
}

// The refusals that are the same for every request.
var (
	errNoSuchPath = refuse(http.StatusNotFound, "not_found", "Not found",
		"the admin API has nothing at this path; /docs lists what it has")
	errNotJSON = refuse(http.StatusUnsupportedMediaType, "unsupported_media_type", "Unsupported media type",
		"the body must be JSON in UTF-8, not compressed; send Content-Type: application/json")
	errNoSuchKey = refuse(http.StatusNotFound, "no_such_key", "No such key", "no key has this id")
	errNoSuchAPI = refuse(http.StatusNotFound, gate.NoSuchAPI.Code(), "No such API",
		"no API of this name is declared in the configuration; GET /v1/apis lists those that are")
	errNoSuchEndpoint = refuse(http.StatusNotFound, "no_such_endpoint", "No such endpoint",
		"no endpoint with this id is registered for the API")
	errCrossOrigin = refuse(http.StatusForbidden, "cross_origin", "Cross-origin request",
		"a page of another origin asked for this with the console's session; use an admin key")
	errVersion = refuse(http.StatusPreconditionFailed, "precondition_failed", "Precondition failed",
		"the key has changed since the state that If-Match names; get it again, and repeat the change on what you see")
	errLastAdmin = refuse(http.StatusConflict, "last_admin_key", "Last admin key",
		"this is the last enabled key with admin write, without which nobody could manage keys; create or enable another one first")
	errStore = refuse(http.StatusServiceUnavailable, "store_unavailable", "Key store unavailable",
		"the key store can't be asked at the moment; nothing was changed; try again shortly")
	errNotReady = refuse(http.StatusServiceUnavailable, "not_ready", "Not ready",
		"the key store can't be reached, or the change feed is cut")
	errDamaged = refuse(http.StatusInternalServerError, "damaged", "Damaged program",
		"a file of the docs page can't be read from the program; install it again")
)

func methodNotAllowed(allow []string) *refusal {
	return refuse(http.StatusMethodNotAllowed, gate.MethodNotAllowed.Code(), "Method not allowed",
		"this path takes "+strings.Join(allow, ", "))
}

func invalidJSON(err error) *refusal {
	return refuse(http.StatusBadRequest, "invalid_json", "Invalid JSON", err.Error())
}

// knownSecret is the refusal of an import whose secrets are not new.
func knownSecret(f *faults) *refusal {
	out := refuse(http.StatusConflict, "known_secret", "Known secret", (&invalidError{f}).Error())
	out.Fields = map[string]any{"errors": f.list()}
	return out
}

// deniedError is a refusal that the gate took and writes.
type deniedError struct{ gate.Decision }

func (e *deniedError) Error() string { return e.Detail() }

// writeError answers with an error: the one place where errors become
// answers. What is none of ours is a technical fault of the store: its text
// goes to the log and not to the caller.
func (a *api) writeError(w http.ResponseWriter, r *http.Request, err error) {
	var denied *deniedError
	var refused *refusal
	var invalid *invalidError
	switch {
	case errors.As(err, &denied):
		if denied.Err != nil {
			a.logFault(r, denied.Err)
		}
		denied.WriteTo(w, a.Realm)
		return
	case errors.As(err, &refused):
	case errors.As(err, &invalid):
		refused = refuse(http.StatusUnprocessableEntity, "invalid_request", "Invalid request", invalid.Error())
		refused.Fields = map[string]any{"errors": invalid.faults.list()}
	case errors.Is(err, keys.ErrNoSuchKey):
		refused = errNoSuchKey
	case errors.Is(err, keys.ErrVersion):
		refused = errVersion
	case errors.Is(err, keys.ErrLastAdmin):
		refused = errLastAdmin
	default:
		a.logFault(r, err)
		refused = errStore
	}
	if refused.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	problem.Write(w, refused.Problem)
}

// logFault leaves out the query: it is the caller's, and of no use here.
func (a *api) logFault(r *http.Request, err error) {
	a.Logger.ErrorContext(r.Context(), "the admin API could not ask the store",
		"method", r.Method, "path", r.URL.Path, "error", err)
}
