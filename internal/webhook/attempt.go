package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// maxAnswer is how much of an answer's body is read, and thrown away: with it
// read, the connection can be used again.
const maxAnswer = 64 << 10

// newClient returns what sends messages. A redirect is an answer like others:
// the operator has said where messages go, and nobody else does.
func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = maxAnswer
	transport.MaxIdleConnsPerHost = atOnce
	transport.DisableCompression = true // nobody looks at what it says
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// attempt sends a message once, and says what is to become of it.
func (s *Sender) attempt(ctx context.Context, e *Endpoint, d *keys.Delivery) keys.DeliveryResult {
	answer, err := s.post(ctx, e, d)
	switch {
	case ctx.Err() != nil:
		return keys.DeliveryResult{State: keys.Pending, Error: "the gateway stopped during the attempt"}
	case err != nil:
		return s.again(d, keys.DeliveryResult{Error: err.Error()}, 0)
	}
	r := keys.DeliveryResult{Status: answer.status}
	switch {
	case r.Status >= 200 && r.Status < 300:
		r.State = keys.Delivered
		return r
	case r.Status == http.StatusGone:
		r.State, r.Error = keys.Failed, "answered 410: the receiver wants it no more"
		return r
	case r.Status >= 300 && r.Status < 400:
		r.Error = fmt.Sprintf("answered %d: redirects are not followed", r.Status)
	default:
		r.Error = fmt.Sprintf("answered %d; expected 200 to 299", r.Status)
	}
	return s.again(d, r, answer.retryAfter)
}

// again says when a message is sent again after it was not taken, if it is.
func (s *Sender) again(d *keys.Delivery, r keys.DeliveryResult, asked time.Duration) keys.DeliveryResult {
	r.State = keys.Failed
	if wait, more := next(s.schedule, d.Attempts, asked); more {
		r.State, r.After = keys.Pending, wait
	}
	return r
}

// answer is what a receiver has said.
type answer struct {
	status     int
	retryAfter time.Duration
}

func (s *Sender) post(ctx context.Context, e *Endpoint, d *keys.Delivery) (answer, error) {
	text, err := body(d)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL.String(), bytes.NewReader(text))
	if err != nil {
		return answer{}, withoutURL(err)
	}
	now := s.now()
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Keywarden")
	request.Header.Set("Webhook-Id", d.ID)
	request.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	request.Header.Set("Webhook-Signature", sign(e.Secrets, d.ID, now, text))
	response, err := s.client.Do(request)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return answer{}, fmt.Errorf("no answer within %s", e.Timeout)
		}
		return answer{}, withoutURL(err)
	}
	defer func() { _ = response.Body.Close() }() // what it answered is known
	// An answer counts when its head is there. What follows may be cut off.
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswer)
	return answer{response.StatusCode, retryAfter(response.Header, now)}, nil
}

// withoutURL takes the URL, in which there may be a token, out of a client's error.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
