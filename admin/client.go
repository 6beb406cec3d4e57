package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const (
	// clientTimeout bounds a whole call, the answer's body included. It is a
	// little longer than the API gives itself: who hangs up first never learns
	// whether the change was made.
	clientTimeout = maxTime + 5*time.Second
	// maxAnswer bounds what is read of an answer: an import of 10 000 keys
	// with all their metadata fits, an endless answer does not fill memory.
	maxAnswer = 128 << 20
)

// Client calls the admin API of one gateway with one admin key. It follows no
// redirect, so that the key goes nowhere but to its address. It may be used by
// several goroutines.
type Client struct {
	address string
	key     keys.Secret
	http    *http.Client
	wait    time.Duration // until a change holds everywhere; 0: no time
}

// NewClient returns a client of the API at address, as ParseAddress takes it.
func NewClient(address, key string) (*Client, error) {
	address, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	secret, err := keys.ForeignSecret(key)
	if err != nil {
		return nil, fmt.Errorf("admin key: expected 1 to %d printable ASCII characters without spaces", keys.MaxSecretLen)
	}
	return &Client{address: address, key: secret, http: &http.Client{
		Timeout:       clientTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Address returns where the client calls, spelled as by ParseAddress.
func (c *Client) Address() string { return c.address }

// Format writes the address for every verb. Without it the key would be
// printed: package fmt asks no methods of unexported fields.
func (c Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "client of "+c.address) }

// Answer is what an answer holds besides its value.
type Answer struct {
	Body json.RawMessage // as the API sent it; empty for a 204
	ETag string          // of the key, for If-Match; "" where there is none
	// Everywhere says that the change holds on every gateway on the store:
	// what a client that Waits asks for.
	Everywhere bool
	// Pending names the gateways on which the change is not known to hold, as
	// GET /v1/nodes does; "*" where they can't be told. Only with Waits.
	Pending string
}

// Waits returns a client whose changes are answered when they hold on every
// gateway on the store, or after the given time, in whole seconds.
func (c *Client) Waits(most time.Duration) *Client {
	waiting, transport := *c, *c.http
	waiting.wait = (most + time.Second - 1).Truncate(time.Second)
	transport.Timeout += waiting.wait
	waiting.http = &transport
	return &waiting
}

// KeyFilter selects keys for List. Zero fields select everything.
type KeyFilter struct {
	Owner  string
	Status string
	Text   string // found in name, prefix, id or owner
	API    string
	// UnusedSince selects keys not used on the day of this time, nor later.
	UnusedSince time.Time
	Sort        string // name, owner, created_at, last_used_at or expires_at, - before it for the other way round
	Limit       int    // 0: the API's default
	Cursor      string
}

func (f KeyFilter) query() url.Values {
	q := url.Values{}
	setFilled(q, "owner", f.Owner)
	setFilled(q, "status", f.Status)
	setFilled(q, "q", f.Text)
	setFilled(q, "api", f.API)
	setFilled(q, "unused_since", timeText(f.UnusedSince))
	setFilled(q, "sort", f.Sort)
	setFilled(q, "cursor", f.Cursor)
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return q
}

func setFilled(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// Create makes a key; its secret is in the answer, this once.
func (c *Client) Create(ctx context.Context, r CreateRequest) (KeyWithSecret, Answer, error) {
	return send[KeyWithSecret](ctx, c, outgoing{method: http.MethodPost, path: "/v1/keys", body: r})
}

// List returns a page of keys, newest first.
func (c *Client) List(ctx context.Context, f KeyFilter) (KeyList, Answer, error) {
	return send[KeyList](ctx, c, outgoing{method: http.MethodGet, path: "/v1/keys", query: f.query()})
}

// Get returns one key.
func (c *Client) Get(ctx context.Context, id string) (Key, Answer, error) {
	return send[Key](ctx, c, outgoing{method: http.MethodGet, path: keyPath(id)})
}

// Patch changes a key; with an etag, only if nobody has changed it since.
func (c *Client) Patch(ctx context.Context, id string, p Patch, etag string) (Key, Answer, error) {
	return send[Key](ctx, c, outgoing{method: http.MethodPatch, path: keyPath(id), body: p, etag: etag})
}

// Delete deletes a key; with an etag, only if nobody has changed it since.
func (c *Client) Delete(ctx context.Context, id, etag string) (Answer, error) {
	return c.do(ctx, outgoing{method: http.MethodDelete, path: keyPath(id), etag: etag})
}

// Rotate gives a key a new secret; the old one works on for the grace, which
// is rounded up to a whole second.
func (c *Client) Rotate(ctx context.Context, id string, grace time.Duration, etag string) (KeyWithSecret, Answer, error) {
	seconds := int64(grace / time.Second)
	if grace%time.Second > 0 {
		seconds++
	}
	return send[KeyWithSecret](ctx, c, outgoing{method: http.MethodPost, path: keyPath(id) + "/rotate", body: RotateRequest{GraceSeconds: seconds}, etag: etag})
}

// Import brings in keys of another system, each an ImportKey as JSON: all of
// them or none. They are sent as they are. The answer is an ImportAnswer, which
// is left to whoever wants it: to read a million keys takes seconds.
func (c *Client) Import(ctx context.Context, imported []json.RawMessage) (Answer, error) {
	return c.do(ctx, outgoing{method: http.MethodPost, path: "/v1/keys/import", body: struct {
		Keys []json.RawMessage `json:"keys"`
	}{imported}})
}

// Check asks which decision the gateway would take.
func (c *Client) Check(ctx context.Context, r CheckRequest) (CheckAnswer, Answer, error) {
	return send[CheckAnswer](ctx, c, outgoing{method: http.MethodPost, path: "/v1/keys/check", body: r})
}

// APIs returns the declared APIs with their endpoints.
func (c *Client) APIs(ctx context.Context) (APIList, Answer, error) {
	return send[APIList](ctx, c, outgoing{method: http.MethodGet, path: "/v1/apis"})
}

// PutEndpoint registers an endpoint, or changes its title.
func (c *Client) PutEndpoint(ctx context.Context, api, endpoint, title string) (EndpointInfo, Answer, error) {
	return send[EndpointInfo](ctx, c, outgoing{method: http.MethodPut, path: endpointPath(api, endpoint), body: EndpointRequest{Title: title}})
}

// DeleteEndpoint forgets a registered endpoint.
func (c *Client) DeleteEndpoint(ctx context.Context, api, endpoint string) error {
	_, err := c.do(ctx, outgoing{method: http.MethodDelete, path: endpointPath(api, endpoint)})
	return err
}

// AuditFilter selects audit entries. Zero fields select everything.
type AuditFilter struct {
	Key, Actor string
	Limit      int // 0: the API's default
	Cursor     string
}

// Audit returns a page of the audit, newest first.
func (c *Client) Audit(ctx context.Context, f AuditFilter) (AuditList, Answer, error) {
	q := url.Values{}
	setFilled(q, "key", f.Key)
	setFilled(q, "actor", f.Actor)
	setFilled(q, "cursor", f.Cursor)
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return send[AuditList](ctx, c, outgoing{method: http.MethodGet, path: "/v1/audit", query: q})
}

// Whoami returns the admin key in use.
func (c *Client) Whoami(ctx context.Context) (Whoami, Answer, error) {
	return send[Whoami](ctx, c, outgoing{method: http.MethodGet, path: "/v1/whoami"})
}

func keyPath(id string) string { return "/v1/keys/" + segment(id) }

func endpointPath(api, endpoint string) string {
	return "/v1/apis/" + segment(api) + "/endpoints/" + segment(endpoint)
}

// segment escapes text as one path segment. Dots are escaped where they would
// be a dot segment, which servers resolve: "keys/.." is not a key.
func segment(text string) string {
	if text == "." || text == ".." {
		return strings.ReplaceAll(text, ".", "%2E")
	}
	return url.PathEscape(text)
}

// outgoing is one request to be made.
type outgoing struct {
	method, path string
	query        url.Values
	body         any // nil: none
	etag         string
}

// changes reports whether the call is to change something.
func (o *outgoing) changes() bool {
	return o.method != http.MethodGet && !strings.HasSuffix(o.path, "/check") && !strings.HasSuffix(o.path, "/impact")
}

// send makes a call whose answer is a T.
func send[T any](ctx context.Context, c *Client, what outgoing) (T, Answer, error) {
	var value T
	answer, err := c.do(ctx, what)
	if err != nil {
		return value, answer, err
	}
	if err := json.Unmarshal(answer.Body, &value); err != nil {
		return value, answer, fmt.Errorf("reading the answer of %s: %w", c.address, err)
	}
	return value, answer, nil
}

func (c *Client) do(ctx context.Context, what outgoing) (Answer, error) {
	r, err := c.request(ctx, what)
	if err != nil {
		return Answer{}, err
	}
	var sent atomic.Bool
	r = r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}))
	res, err := c.http.Do(r)
	if err != nil {
		return Answer{}, c.unanswered(err, sent.Load() && what.changes())
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return Answer{}, c.unanswered(err, what.changes())
	}
	if len(body) > maxAnswer {
		return Answer{}, fmt.Errorf("reading the answer of %s: it is larger than %d MiB", c.address, maxAnswer>>20)
	}
	if res.StatusCode >= 300 {
		return Answer{}, c.refusal(res, body)
	}
	if res.StatusCode != http.StatusNoContent && !isJSONAnswer(res) {
		return Answer{}, c.strange(res)
	}
	return Answer{
		Body: body, ETag: res.Header.Get("ETag"),
		Everywhere: res.Header.Get(headerApplied) != "", Pending: res.Header.Get(headerPending),
	}, nil
}

func (c *Client) request(ctx context.Context, what outgoing) (*http.Request, error) {
	var body io.Reader
	if what.body != nil {
		// Not json.Marshal: it would escape <, > and & into six characters
		// each, and an import has a limit in bytes.
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(what.body); err != nil {
			return nil, fmt.Errorf("writing the request: %w", err)
		}
		body = &text
	}
	target := c.address + what.path
	if len(what.query) > 0 {
		target += "?" + what.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, what.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if what.etag != "" {
		r.Header.Set("If-Match", what.etag)
	}
	if c.wait > 0 && what.changes() {
		r.Header.Set(headerPrefer, fmt.Sprintf("wait=%d", c.wait/time.Second))
	}
	r.Header.Set("Accept", "application/json, application/problem+json")
	r.Header.Set("User-Agent", "keywarden")
	if !c.key.IsZero() { // a session speaks for the caller
		r.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	}
	return r, nil
}
