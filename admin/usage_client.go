package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// UsageFilter selects a time. Zero fields are the API's defaults.
type UsageFilter struct {
	From, To time.Time
	Step     string // minute, hour or day; of one key's usage
	Limit    int    // of sums
}

func (f UsageFilter) query() url.Values {
	q := url.Values{}
	setFilled(q, "from", timeText(f.From))
	setFilled(q, "to", timeText(f.To))
	setFilled(q, "step", f.Step)
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return q
}

// timeText writes a time for a parameter; "" for the zero time.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// Usage returns how a key was used.
func (c *Client) Usage(ctx context.Context, id string, f UsageFilter) (KeyUsage, Answer, error) {
	return send[KeyUsage](ctx, c, outgoing{method: http.MethodGet, path: keyPath(id) + "/usage", query: f.query()})
}

// SumUsage returns the usage of all keys, added up by api, owner or key.
func (c *Client) SumUsage(ctx context.Context, groupBy string, f UsageFilter) (UsageSums, Answer, error) {
	q := f.query()
	setFilled(q, "group_by", groupBy)
	return send[UsageSums](ctx, c, outgoing{method: http.MethodGet, path: "/v1/usage", query: q})
}

// Impact asks what a change would have refused; it changes nothing.
func (c *Client) Impact(ctx context.Context, id string, r ImpactRequest) (Impact, Answer, error) {
	return send[Impact](ctx, c, outgoing{method: http.MethodPost, path: keyPath(id) + "/impact", body: r})
}

// Suggestion returns the smallest permissions that cover what a key did in the
// last days; 0: the API's default.
func (c *Client) Suggestion(ctx context.Context, id string, days int) (Suggestion, Answer, error) {
	q := url.Values{}
	if days != 0 {
		q.Set("days", strconv.Itoa(days))
	}
	return send[Suggestion](ctx, c, outgoing{method: http.MethodGet, path: keyPath(id) + "/suggestion", query: q})
}
