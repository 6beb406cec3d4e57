package gate

import "net/http"

// Outcome is the result of a decision: allowed, or the reason of a refusal.
// It is a closed set, the contract's section 5; technical faults are errors
// and never an Outcome.
type Outcome uint8

// The outcomes. The zero Outcome is a refusal, so that a Decision that
// nobody filled in lets nothing through.
const (
	StoreUnavailable Outcome = iota
	Allowed
	MissingKey
	UnknownKey
	DisabledKey
	ExpiredKey
	InsufficientAccess
	NoSuchAPI
	AmbiguousRequest
	UnreadableBody
	BodyTooLarge
	MethodNotAllowed
	SourceNotAllowed
	TooManyFailures

	// Outcomes is how many there are, for tables indexed by them.
	Outcomes
)

type outcomeWords struct {
	code   string
	status int
	title  string
	// challenge is the error of WWW-Authenticate (RFC 6750, section 3.1).
	challenge string
}

var outcomeTable = [Outcomes]outcomeWords{
	StoreUnavailable:   {"store_unavailable", http.StatusServiceUnavailable, "Key store unavailable", ""},
	Allowed:            {"allowed", http.StatusOK, "Allowed", ""},
	MissingKey:         {"missing_key", http.StatusUnauthorized, "API key required", ""},
	UnknownKey:         {"unknown_key", http.StatusUnauthorized, "Unknown API key", "invalid_token"},
	DisabledKey:        {"disabled_key", http.StatusUnauthorized, "Disabled API key", "invalid_token"},
	ExpiredKey:         {"expired_key", http.StatusUnauthorized, "Expired API key", "invalid_token"},
	InsufficientAccess: {"insufficient_access", http.StatusForbidden, "Insufficient access", "insufficient_scope"},
	NoSuchAPI:          {"no_such_api", http.StatusNotFound, "No such API", ""},
	AmbiguousRequest:   {"ambiguous_request", http.StatusBadRequest, "Ambiguous request", ""},
	UnreadableBody:     {"unreadable_body", http.StatusBadRequest, "Unreadable body", ""},
	BodyTooLarge:       {"body_too_large", http.StatusRequestEntityTooLarge, "Body too large", ""},
	MethodNotAllowed:   {"method_not_allowed", http.StatusMethodNotAllowed, "Method not allowed", ""},
	SourceNotAllowed:   {"source_not_allowed", http.StatusForbidden, "Source not allowed", ""},
	TooManyFailures:    {"too_many_failures", http.StatusTooManyRequests, "Too many failures", ""},
}

// Code returns the stable code of the contract; "allowed" for Allowed.
func (o Outcome) Code() string { return outcomeTable[o].code }

// Status returns the HTTP status of o.
func (o Outcome) Status() int { return outcomeTable[o].status }

// String is Code.
func (o Outcome) String() string { return o.Code() }
