package admin

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// UnansweredError is a call that got no answer, or not the whole of it.
type UnansweredError struct {
	Address string
	// InDoubt says that a change was sent: whether it was made is unknown.
	InDoubt bool
	Err     error
}

// Error says what happened and, where it can, what to do.
func (e *UnansweredError) Error() string {
	text := fmt.Sprintf("calling %s: %v", e.Address, e.Err)
	var unknown x509.UnknownAuthorityError
	switch {
	case e.InDoubt:
		text += "; whether the change was made is unknown: look before you try again"
	case errors.As(e.Err, &unknown):
		text += "; if it is a certificate of the gateway's own authority, have this machine trust it (keywarden trust), or name its root in SSL_CERT_FILE"
	case errors.Is(e.Err, http.ErrSchemeMismatch):
		text += "; use http://" + strings.TrimPrefix(e.Address, "https://")
	}
	return text
}

// Unwrap returns the cause.
func (e *UnansweredError) Unwrap() error { return e.Err }

func (c *Client) unanswered(err error, inDoubt bool) error {
	// url.Error repeats method and URL, query included, which says less than
	// the address alone.
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var slow interface{ Timeout() bool }
	if errors.As(err, &slow) && slow.Timeout() && !errors.Is(err, context.Canceled) {
		err = fmt.Errorf("no answer within %v: %w", c.http.Timeout, err)
	}
	return &UnansweredError{Address: c.address, InDoubt: inDoubt, Err: err}
}

// refusal returns the *Problem that an error answer holds, or says what was
// answered instead.
func (c *Client) refusal(res *http.Response, body []byte) error {
	if location := res.Header.Get("Location"); res.StatusCode < 400 && location != "" {
		return fmt.Errorf("%s redirects to %q (status %d); an admin key is not sent after a redirect: use that address if it is the right one", c.address, location, res.StatusCode)
	}
	if strings.HasPrefix(c.address, "http://") && bytes.Contains(body, []byte("HTTP request to an HTTPS server")) {
		return fmt.Errorf("%s speaks https: use https://%s", c.address, strings.TrimPrefix(c.address, "http://"))
	}
	var p Problem
	if !isJSONAnswer(res) || json.Unmarshal(body, &p) != nil || p.Code == "" {
		return c.strange(res)
	}
	p.Status = res.StatusCode
	return &p
}

func (c *Client) strange(res *http.Response) error {
	return fmt.Errorf("%s answered %s with content of type %q, expected JSON: is an api_key_admin site at this address?", c.address, res.Status, res.Header.Get("Content-Type"))
}

func isJSONAnswer(res *http.Response) bool {
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}
