package gate

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/problem"
	"github.com/caddy-keywarden/keywarden/internal/route"
)

// Decision is what the gate decided about one request, and why. The zero
// Decision is a refusal.
type Decision struct {
	Outcome Outcome
	// Public says that the path needs no key; Key is nil then.
	Public bool
	// Key is who called, also where the key is disabled or expired; nil if
	// nobody known did.
	Key *keys.Identity
	// API and Endpoint are what the path belongs to; "" for none.
	API, Endpoint string
	// Needs is the access that the request needs, Has the one that the key gives.
	Needs, Has permission.Access
	// Reason says more about some refusals, in words for people.
	Reason string
	// Wait is how many seconds a caller is told to wait, with TooManyFailures.
	Wait int32
	// Found says where the key was found, if Asked.
	Found Found
	Asked bool
	// Err is the technical fault behind StoreUnavailable, for the log only.
	Err error
	// further is for Claim.
	further []route.Target
}

func refuse(o Outcome, reason string) Decision { return Decision{Outcome: o, Reason: reason} }

// Allowed reports whether the request may go on.
func (d *Decision) Allowed() bool { return d.Outcome == Allowed }

// Detail says what happened and what the caller can do about it.
func (d *Decision) Detail() string {
	switch d.Outcome {
	case Allowed:
		return "allowed"
	case MissingKey:
		return "this request needs an API key" + d.Reason
	case UnknownKey:
		return "the API key is malformed, unknown or deleted"
	case DisabledKey:
		return "key " + d.Key.Prefix() + " is disabled"
	case ExpiredKey:
		return "key " + d.Key.Prefix() + " has expired"
	case InsufficientAccess:
		return d.accessDetail()
	case SourceNotAllowed:
		return "key " + d.Key.Prefix() + " may not be used from " + d.Reason
	case TooManyFailures:
		if d.Reason != "" {
			return d.Reason
		}
		return "the API key is malformed, unknown or deleted, and too many such requests have come from this address; try again later"
	case NoSuchAPI:
		return "this path belongs to no API"
	case StoreUnavailable:
		return "the key can't be checked at the moment; try again shortly"
	case MethodNotAllowed:
		return "TRACE and CONNECT are not allowed"
	}
	return d.Reason
}

// accessDetail says "needs write on serverless/abc123; key kw_3fGh81Qz has read".
func (d *Decision) accessDetail() string {
	where := d.API
	if d.Endpoint != "" {
		where += "/" + d.Endpoint
	}
	detail := fmt.Sprintf("needs %s on %s; key %s has %s", d.Needs, where, d.Key.Prefix(), d.Has)
	if d.Reason != "" {
		detail += " (" + d.Reason + ")"
	}
	return detail
}

// Problem returns the refusal as an answer.
func (d *Decision) Problem() problem.Problem {
	words := outcomeTable[d.Outcome]
	p := problem.Problem{Status: words.status, Code: words.code, Title: words.title, Detail: d.Detail()}
	if d.Outcome == InsufficientAccess {
		p.Fields = map[string]any{"api": d.API, "endpoint": d.Endpoint, "needs": d.Needs.String(), "has": d.Has.String()}
	}
	return p
}

// retrySeconds is what a caller is told to wait when the store can't be asked:
// the breaker tries again after as long.
const retrySeconds = 1

// retryAfter is how many seconds a caller is told to wait; 0: nothing is said.
func (d *Decision) retryAfter() int {
	switch d.Outcome.Status() {
	case http.StatusServiceUnavailable:
		return retrySeconds
	case http.StatusTooManyRequests:
		return int(d.Wait)
	}
	return 0
}

// WriteTo answers with the refusal: problem+json and the headers of the
// contract's section 5.
func (d *Decision) WriteTo(w http.ResponseWriter, realm string) {
	h := w.Header()
	switch status := d.Outcome.Status(); status {
	case http.StatusUnauthorized, http.StatusForbidden:
		h.Set("WWW-Authenticate", Challenge(realm, outcomeTable[d.Outcome].challenge))
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.Itoa(d.retryAfter()))
	case http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE") // RFC 9110, section 15.5.6
	}
	problem.Write(w, d.Problem())
}

var quotedString = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// Challenge returns a value of WWW-Authenticate (RFC 6750, section 3); fault
// is its error, "" for a request without a key.
func Challenge(realm, fault string) string {
	if fault == "" {
		return `Bearer realm="` + quotedString.Replace(realm) + `"`
	}
	return `Bearer realm="` + quotedString.Replace(realm) + `", error="` + fault + `"`
}
