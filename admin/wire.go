// Package admin lets people manage keys: the HTTP API under /v1, its OpenAPI
// document, and the first admin key. Its wire types serve the server, the
// client and the tests alike. It does not decide about requests (package
// gate) and does not keep anything (package store).
package admin

import (
	"encoding/json"
	"strings"
	"time"
)

// Key is a key as the API shows it. Times are RFC 3339 in UTC.
type Key struct {
	ID          string            `json:"id" example:"key_0192f3a1c5d87c3e9b4a6f10d2e8c7b5" doc:"Names the key for good."`
	Name        string            `json:"name" example:"ci" doc:"What people call the key; need not be unique."`
	Owner       string            `json:"owner" example:"team-7" doc:"Who the key belongs to in the API's own world; empty for nobody."`
	Prefix      string            `json:"prefix" example:"kw_3fGh81Qz" doc:"The first characters of the secret, for display."`
	Permissions Permissions       `json:"permissions"`
	Admin       string            `json:"admin" enum:"none,read,write" doc:"Access to this API."`
	Enabled     bool              `json:"enabled"`
	Status      string            `json:"status" enum:"active,disabled,expired" doc:"Derived from enabled, expires_at and the time."`
	Legacy      bool              `json:"legacy" doc:"The key was imported, and has not been rotated since."`
	ExpiresAt   *time.Time        `json:"expires_at" doc:"When the key stops working; null for never."`
	CreatedAt   time.Time         `json:"created_at"`
	UpdatedAt   time.Time         `json:"updated_at"`
	CreatedBy   string            `json:"created_by" example:"config" doc:"Id of the admin key that created it, config, bootstrap, or cli@HOST."`
	LastUsedAt  *time.Time        `json:"last_used_at" doc:"When the key was last used, right within 30 seconds; null for never."`
	Rotation    *Rotation         `json:"rotation" doc:"The earlier secret, while it is in its grace; else null."`
	Metadata    map[string]string `json:"metadata" doc:"Your own notes on the key."`
	Sources     []string          `json:"allowed_cidrs" nullable:"false" example:"203.0.113.0/24" doc:"Networks in CIDR notation from which the key may be used, by the client's address as Caddy judges it; empty for all."`
}

// Permissions are what a key may do on the declared APIs. They never speak of
// the admin API.
type Permissions struct {
	Mode string                    `json:"mode" enum:"all,read_only,restricted" doc:"all: write on every API. read_only: read on every API. restricted: what apis lists, and nothing else."`
	APIs map[string]APIPermissions `json:"apis,omitzero" doc:"Access by API name; belongs to mode restricted only. What is not listed is none."`
}

// APIPermissions are what a restricted key may do on one API.
type APIPermissions struct {
	Access    string            `json:"access" enum:"none,read,write,restricted" doc:"restricted: what endpoints lists, and nothing else."`
	Endpoints map[string]string `json:"endpoints,omitzero" doc:"Access (none, read, write) by endpoint id; belongs to access restricted only. What is not listed is none."`
}

// Rotation is the earlier secret of a rotated key, which still works.
type Rotation struct {
	PreviousPrefix    string    `json:"previous_prefix" example:"kw_9dKe02Lm"`
	PreviousExpiresAt time.Time `json:"previous_expires_at"`
}

// KeyWithSecret answers a create or a rotate: the only two answers that hold a
// secret, this once.
type KeyWithSecret struct {
	Key
	Secret string `json:"secret" doc:"The secret to present. It is shown this once and is stored nowhere."`
}

// KeyList is a page of keys, newest first.
type KeyList struct {
	Data       []Key   `json:"data" nullable:"false"`
	NextCursor *string `json:"next_cursor" doc:"Give it as cursor to get the next page; null on the last."`
}

// CreateRequest describes a key to be made. Only Permissions is required.
type CreateRequest struct {
	Name        *string           `json:"name,omitempty" pattern:"^[^\\x00-\\x1f\\x7f-\\x9f]*$" patternDescription:"no control characters" example:"ci" doc:"1 to 100 characters after trimming, of any script, no control characters. Left out: the key's prefix. Names need not be unique."`
	Owner       string            `json:"owner,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f-\\x9f]*$" patternDescription:"no control characters" example:"team-7" doc:"Who the key belongs to in the API's own world. Default: empty, nobody."`
	Permissions Permissions       `json:"permissions"`
	Admin       string            `json:"admin,omitempty" enum:"none,read,write" doc:"Access to this API. Default: none."`
	Enabled     *bool             `json:"enabled,omitempty" doc:"Default: true."`
	ExpiresAt   *time.Time        `json:"expires_at,omitempty" nullable:"true" example:"2030-01-31T12:00:00Z" doc:"When the key stops working, RFC 3339, in the future, kept to the millisecond. Default: null, never."`
	Metadata    map[string]string `json:"metadata,omitempty" doc:"Your own notes: at most 16 pairs, keys of 1 to 40 characters, values of up to 500."`
	Sources     []string          `json:"allowed_cidrs,omitempty" maxItems:"64" nullable:"false" example:"203.0.113.0/24" doc:"Networks, IPv4 or IPv6, from which the key may be used: in CIDR notation, or an address, which stands for itself alone. Default: empty, from everywhere."`
}

// Patch changes the fields that are not nil (JSON merge patch, RFC 7396).
type Patch struct {
	Name        *string            `json:"name,omitempty" pattern:"^[^\\x00-\\x1f\\x7f-\\x9f]*$" patternDescription:"no control characters" example:"ci" doc:"1 to 100 characters after trimming."`
	Owner       *string            `json:"owner,omitempty" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f-\\x9f]*$" patternDescription:"no control characters" example:"team-7"`
	Permissions *Permissions       `json:"permissions,omitempty" doc:"Replaced whole."`
	Admin       *string            `json:"admin,omitempty" enum:"none,read,write"`
	Enabled     *bool              `json:"enabled,omitempty"`
	ExpiresAt   *Expiry            `json:"expires_at,omitempty" nullable:"true" doc:"RFC 3339, in the future, kept to the millisecond; null for never."`
	Metadata    map[string]*string `json:"metadata,omitempty" doc:"Merged pair by pair: null removes a pair, null for the whole removes all. At most 16 remain."`
	Sources     *[]string          `json:"allowed_cidrs,omitempty" maxItems:"64" nullable:"false" example:"203.0.113.0/24" doc:"Replaced whole; empty for everywhere."`
}

// Expiry is a time in a Patch. The zero Expiry is never, and written as null.
type Expiry struct{ time.Time }

// MarshalJSON writes null for never.
func (e Expiry) MarshalJSON() ([]byte, error) {
	if e.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(e.Time)
}

// RotateRequest says how long the earlier secret goes on working.
type RotateRequest struct {
	GraceSeconds int64 `json:"grace_seconds,omitempty" minimum:"0" maximum:"2592000" default:"0" doc:"Seconds for which the earlier secret goes on working, at most 30 days."`
}

// ImportRequest brings in keys of another system: all of them or none.
type ImportRequest struct {
	Keys []ImportKey `json:"keys" minItems:"1" maxItems:"10000" nullable:"false"`
}

// ImportKey is a key of another system, with its secret or the secret's
// SHA-256 in hexadecimal.
type ImportKey struct {
	CreateRequest
	Secret string `json:"secret,omitempty" maxLength:"512" pattern:"^[!-~]+$" patternDescription:"1 to 512 printable ASCII characters without spaces" doc:"The secret as callers present it. Either this or sha256."`
	SHA256 string `json:"sha256,omitempty" pattern:"^[0-9A-Fa-f]{64}$" patternDescription:"64 hexadecimal digits" doc:"SHA-256 of the secret, in hexadecimal. Either this or secret."`
	Prefix string `json:"prefix,omitempty" maxLength:"64" pattern:"^[^\\x00-\\x1f\\x7f-\\x9f]*$" patternDescription:"no control characters" doc:"What is displayed of the secret. Default: its first 8 characters, and never more than half of it; with sha256, a name made of the key's id."`
}

// ImportAnswer lists the imported keys in the order in which they were given.
type ImportAnswer struct {
	Data []Key `json:"data" nullable:"false"`
}

// CheckRequest asks which decision the gateway would take on a request by a
// key, given as its secret or its id.
type CheckRequest struct {
	Secret string `json:"secret,omitempty" doc:"Either this or id."`
	ID     string `json:"id,omitempty" maxLength:"128" pattern:"^[!-~]+$" patternDescription:"the id of a key" doc:"Either this or secret."`
	Method string `json:"method" maxLength:"32" pattern:"^[A-Za-z0-9!#$%&'*+.^_\x60|~-]+$" patternDescription:"a method of HTTP, such as GET" example:"GET" doc:"Method of the request; the letter case counts."`
	Path   string `json:"path" maxLength:"8192" pattern:"^/" patternDescription:"a path, which begins with a slash" example:"/v2/abc123/status/7" doc:"Path of the request as it is sent, percent-encoded, with its query if it has one."`
	IP     string `json:"ip,omitempty" maxLength:"64" example:"203.0.113.7" doc:"Address of the client, for a key that is limited to some. Left out: that is not judged."`
}

// CheckAnswer is the decision that the gateway would take.
type CheckAnswer struct {
	Allowed  bool   `json:"allowed"`
	Status   int    `json:"status" example:"403" doc:"HTTP status of the gateway's refusal; 200 where allowed."`
	Code     string `json:"code" example:"insufficient_access" doc:"allowed, or the stable code of the refusal."`
	Detail   string `json:"detail" example:"needs write on serverless/abc123; key kw_3fGh81Qz has read"`
	API      string `json:"api" example:"serverless" doc:"Empty where the request belongs to none."`
	Endpoint string `json:"endpoint" example:"abc123" doc:"Empty where the request belongs to none."`
	Needs    string `json:"needs" enum:"none,read,write" doc:"The access that the request needs; none where that was not decided."`
	Has      string `json:"has" enum:"none,read,write" doc:"The access that the key has there."`
}

// API is an upstream API with its endpoints, declared and registered.
type API struct {
	Name      string         `json:"name" example:"serverless"`
	Title     string         `json:"title" example:"Serverless"`
	Patterns  []string       `json:"patterns" nullable:"false" example:"/v2/{endpoint}/*" doc:"Path patterns that belong to the API."`
	Endpoints []EndpointInfo `json:"endpoints" nullable:"false" doc:"Declared in the configuration, or registered here. Captured endpoints need not be listed to work."`
}

// APIList is the answer of GET /v1/apis.
type APIList struct {
	Data []API `json:"data" nullable:"false"`
}

// EndpointInfo is an endpoint of an API.
type EndpointInfo struct {
	ID    string `json:"id" example:"abc123"`
	Title string `json:"title" example:"Image resizer"`
}

// EndpointRequest registers an endpoint.
type EndpointRequest struct {
	Title string `json:"title" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f-\\x9f]*$" patternDescription:"no control characters" example:"Image resizer" doc:"What people call the endpoint."`
}

// AuditEntry is one change that somebody made.
type AuditEntry struct {
	ID     string          `json:"id"`
	At     time.Time       `json:"at"`
	Actor  string          `json:"actor" example:"config" doc:"Id of the admin key that made the change, config, bootstrap, leak-report, or cli@HOST."`
	Action string          `json:"action" enum:"create,update,enable,disable,rotate,delete,import,bootstrap,leak,put_endpoint,delete_endpoint"`
	Key    *string         `json:"key" doc:"Id of the key that was changed; null where the change is not of a key."`
	IP     *string         `json:"ip" example:"203.0.113.7" doc:"Address of the client; null where there was none."`
	Before json.RawMessage `json:"before" doc:"What was changed, as it was before; null for a creation."`
	After  json.RawMessage `json:"after" doc:"What was changed, as it was after; null for a deletion."`
}

// AuditList is a page of the audit, newest first.
type AuditList struct {
	Data       []AuditEntry `json:"data" nullable:"false"`
	NextCursor *string      `json:"next_cursor" doc:"Give it as cursor to get the next page; null on the last."`
}

// LeakReport says that a secret was found where it should not be.
type LeakReport struct {
	Secret string `json:"secret" maxLength:"512" pattern:"^[!-~]+$" patternDescription:"1 to 512 printable ASCII characters without spaces" doc:"The secret that was found."`
	Source string `json:"source,omitempty" maxLength:"100" pattern:"^[^\\x00-\\x1f\\x7f-\\x9f]*$" patternDescription:"no control characters" example:"github" doc:"Who found it, or what."`
	URL    string `json:"url,omitempty" maxLength:"2000" pattern:"^[^\\x00-\\x1f\\x7f-\\x9f]*$" patternDescription:"no control characters" example:"https://github.com/acme/app/blob/main/.env" doc:"Where it lies."`
}

// LeakAnswer is the answer to every LeakReport.
type LeakAnswer struct {
	Status string `json:"status" enum:"accepted"`
}

// GitHubAlert is one secret in an alert of GitHub's secret scanning, in
// GitHub's form. Members that it may get one day are passed over.
type GitHubAlert struct {
	Token  string `json:"token" doc:"What was found."`
	Type   string `json:"type" doc:"GitHub's name of the pattern."`
	URL    string `json:"url,omitempty" nullable:"true" doc:"Where it lies."`
	Source string `json:"source,omitempty" nullable:"true" doc:"What it lies in, such as content or commit."`
}

// GitHubVerdict says of a secret in an alert whether it is one, in GitHub's
// form. It names the secret by its hash.
type GitHubVerdict struct {
	TokenHash string `json:"token_hash" doc:"SHA-256 of the token, in base64."`
	TokenType string `json:"token_type" doc:"As in the alert."`
	Label     string `json:"label" enum:"true_positive,false_positive" doc:"Whether the token belongs to a key."`
}

// Whoami is the admin key in use: a Key, or the configured admin key, which
// has the id config, was never created and has no secret to show.
type Whoami struct {
	ID          string            `json:"id" example:"config"`
	Name        string            `json:"name"`
	Owner       string            `json:"owner"`
	Prefix      string            `json:"prefix"`
	Permissions Permissions       `json:"permissions"`
	Admin       string            `json:"admin" enum:"read,write"`
	Enabled     bool              `json:"enabled"`
	Status      string            `json:"status" enum:"active,disabled,expired"`
	Legacy      bool              `json:"legacy"`
	ExpiresAt   *time.Time        `json:"expires_at"`
	CreatedAt   *time.Time        `json:"created_at"`
	UpdatedAt   *time.Time        `json:"updated_at"`
	CreatedBy   string            `json:"created_by"`
	LastUsedAt  *time.Time        `json:"last_used_at"`
	Rotation    *Rotation         `json:"rotation"`
	Metadata    map[string]string `json:"metadata"`
	Sources     []string          `json:"allowed_cidrs" nullable:"false"`
}

// NodeList is the answer of GET /v1/nodes.
type NodeList struct {
	Data    []Node `json:"data" nullable:"false" doc:"In the order of their start. A gateway that ended in good order is not in the list; one that did not is, until it can't answer from memory any more (cache.stale_if_error)."`
	LastSeq int64  `json:"last_seq" doc:"Number of the last change."`
}

// Node is a running gateway on the store.
type Node struct {
	ID          string    `json:"id" example:"node_0192f3a1c5d87c3e9b4a6f10d2e8c7b5" doc:"Made anew at each start."`
	Name        string    `json:"name" example:"web-1:4711" doc:"Its host and process."`
	Version     string    `json:"version" example:"v1.0.0"`
	Self        bool      `json:"self" doc:"It is the one that answers."`
	Live        bool      `json:"live" doc:"It was heard of lately. Prefer: wait waits for those."`
	StartedAt   time.Time `json:"started_at"`
	SeenAt      time.Time `json:"seen_at" doc:"When it was last heard of, by the store's clock."`
	AppliedSeq  int64     `json:"applied_seq" doc:"Number of the last change that holds on it."`
	Lag         int64     `json:"lag" doc:"How many changes do not hold on it yet."`
	ClockSkewMS int64     `json:"clock_skew_ms" doc:"How many milliseconds its clock is ahead of the store's; expiries are judged by it. More than 5 s either way is worth mending."`
}

// Health answers /healthz and /readyz.
type Health struct {
	Status string `json:"status" enum:"ok"`
}

// Problem is every error answer (RFC 9457). It is the error that the client
// returns.
type Problem struct {
	Type     string       `json:"type" example:"urn:keywarden:problem:invalid_request"`
	Title    string       `json:"title" example:"Invalid request"`
	Status   int          `json:"status" example:"422"`
	Detail   string       `json:"detail" example:"1 field is wrong"`
	Code     string       `json:"code" example:"invalid_request" doc:"Stable; act on this one."`
	Errors   []FieldError `json:"errors,omitempty" nullable:"false" doc:"Every fault of the request."`
	API      string       `json:"api,omitempty" doc:"With insufficient_access at the gateway: the API of the request."`
	Endpoint string       `json:"endpoint,omitempty" doc:"With insufficient_access at the gateway: the endpoint of the request."`
	Needs    string       `json:"needs,omitempty" enum:"none,read,write" doc:"With insufficient_access: the access that the request needs."`
	Has      string       `json:"has,omitempty" enum:"none,read,write" doc:"With insufficient_access: the access that the key has."`
	Short    ProblemShort `json:"error" doc:"The same in the shape that OpenAI-style clients show."`
}

// FieldError is one fault of a request.
type FieldError struct {
	Field   string `json:"field" example:"permissions.apis.graphql.access" doc:"Path of the field in the body, or name of the parameter; empty for the whole body."`
	Message string `json:"message" example:"expected one of none, read, write, restricted"`
}

// ProblemShort repeats a Problem for OpenAI-style clients.
type ProblemShort struct {
	Message string `json:"message"`
	Code    string `json:"code"`
}

// Error says what went wrong, in a line, with every fault that is listed.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if len(p.Errors) == 0 {
		return text
	}
	faults := make([]string, len(p.Errors))
	for i, e := range p.Errors {
		faults[i] = e.Message
		if e.Field != "" {
			faults[i] = e.Field + ": " + e.Message
		}
	}
	if strings.HasPrefix(text, faults[0]) { // it would be told twice
		text = p.Title
	}
	return text + ": " + strings.Join(faults, "; ")
}
