package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const (
	// An address may report so many leaks a minute: a scanner that finds more
	// than that at once can wait, and who floods fills neither log nor audit.
	reportsAMinute = 10
	maxReport      = 16 << 10
	maxAlerts      = 500
	maxAlertBody   = 1 << 20
	maxSource      = 100
	maxURL         = 2000

	// leakReporter is the audit's actor: nobody knows who reports.
	leakReporter keys.ID = "leak-report"
)

var (
	errManyReports = refuse(http.StatusTooManyRequests, "too_many_reports", "Too many reports",
		"too many leaks were reported from this address; try again later")
	errNotGitHub = refuse(http.StatusForbidden, "bad_signature", "Bad signature",
		"the alert is not signed by a key of GitHub's that is known here; if it is GitHub's, save its public keys again and reload")
)

// leakOperations take reports of secrets that were found somewhere. They need
// no key: whoever has the secret could do worse with it than have it disabled.
func (a *api) leakOperations() (all []*operation) {
	if a.NoLeakReports {
		return nil
	}
	all = append(all, &operation{
		method: http.MethodPost, path: "/v1/leaks", id: "reportLeak", tag: "Leaks", summary: "Report a secret that was found somewhere",
		description: "Needs no key. The key that the secret belongs to is disabled at once, even if it is the last admin key; of a rotated key, an earlier secret in its grace ends. The answer is the same if it belongs to none. An address may report 10 a minute.",
		body:        reflect.TypeFor[LeakReport](), maxBody: maxReport,
		status: http.StatusAccepted, answer: reflect.TypeFor[LeakAnswer](), errors: append(leakErrors(), errManyReports),
		turn: func(c *call) error { return a.turn(c, a.reports) }, serve: a.reportLeak,
	})
	if a.GitHub == nil {
		return all
	}
	return append(all, &operation{
		method: http.MethodPost, path: "/v1/leaks/github", id: "reportGitHubAlert", tag: "Leaks", summary: "Take an alert of GitHub's secret scanning",
		description: "In the form of GitHub's secret scanning partner program, signed by GitHub. Does for each secret what POST /v1/leaks does.",
		body:        reflect.TypeFor[gitHubAlerts](), maxBody: maxAlertBody,
		status: http.StatusOK, answer: reflect.TypeFor[gitHubVerdicts](), errors: append(leakErrors(), errManyReports, errNotGitHub),
		vouched: a.fromGitHub, serve: a.reportGitHub,
	})
}

func leakErrors() []*refusal {
	invalid := refuse(http.StatusUnprocessableEntity, "invalid_request", "Invalid request", "")
	return []*refusal{invalid, errStore}
}

// gitHubAlerts is the body of an alert.
type gitHubAlerts []GitHubAlert

// TransformSchema bounds how many secrets an alert has.
func (gitHubAlerts) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	most := maxAlerts
	s.MaxItems, s.Nullable = &most, false
	return s
}

// gitHubVerdicts is the answer to one.
type gitHubVerdicts []GitHubVerdict

// TransformSchema says that there is always a list.
func (gitHubVerdicts) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Nullable = false
	return s
}

// TransformSchema lets GitHub add members.
func (GitHubAlert) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.AdditionalProperties = &huma.Schema{}
	return s
}

// turn counts a call against a limit of its address.
func (a *api) turn(c *call, limit *gate.FailLimit) error {
	wait := limit.Fail(a.ClientIP(c.request), c.now)
	if wait <= 0 {
		return nil
	}
	c.header.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	return errManyReports
}

// reportLeak is POST /v1/leaks.
func (a *api) reportLeak(c *call) (any, error) {
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	object, _ := c.body.(map[string]any)
	_, err := a.leaked(c, text(object["secret"]), keys.FoundAt{Source: text(object["source"]), URL: text(object["url"])})
	if err != nil {
		return nil, err
	}
	return LeakAnswer{Status: "accepted"}, nil
}

// fromGitHub refuses a body that GitHub has not signed. A body that is sent
// again is signed, too, and does no harm: what it names has ended.
func (a *api) fromGitHub(r *http.Request, body []byte) error {
	const id, signature = "Github-Public-Key-Identifier", "Github-Public-Key-Signature"
	err := errors.New("expected one key identifier and one signature")
	if len(r.Header.Values(id)) == 1 && len(r.Header.Values(signature)) == 1 {
		err = a.GitHub(body, r.Header.Get(id), r.Header.Get(signature))
	}
	if err == nil {
		return nil
	}
	if a.forged.Fail(a.ClientIP(r), a.now()) == 0 { // so that a flood does not fill the log
		a.Logger.WarnContext(r.Context(), "an alert of secret scanning was refused", "ip", a.ClientIP(r), "error", err)
	}
	return errNotGitHub
}

// reportGitHub is POST /v1/leaks/github.
func (a *api) reportGitHub(c *call) (any, error) {
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	alerts, _ := c.body.([]any)
	verdicts := make(gitHubVerdicts, 0, len(alerts))
	for _, item := range alerts {
		alert, _ := item.(map[string]any)
		token := text(alert["token"])
		found := keys.FoundAt{Source: strings.TrimSuffix("github "+text(alert["source"]), " "), URL: text(alert["url"])}
		ours, err := a.leaked(c, token, found)
		if err != nil {
			return nil, err // GitHub sends it again
		}
		hash := sha256.Sum256([]byte(token))
		verdict := GitHubVerdict{TokenHash: base64.StdEncoding.EncodeToString(hash[:]), TokenType: text(alert["type"]), Label: "false_positive"}
		if ours {
			verdict.Label = "true_positive"
		}
		verdicts = append(verdicts, verdict)
	}
	return verdicts, nil
}

// leaked ends what a found secret opens, and reports whether it belongs to a
// key. Of a rotated key whose earlier secret was found that secret alone ends:
// whoever has rotated already must not lose the secret that nobody found.
//
// The last admin key is disabled like any other: once leaked it is
// everybody's, and `keywarden login --config` on the gateway's machine is the
// way back in. The admin key of the configuration can't be; the log says so.
//
// The look-up is the gateway's, cache and bounds included, for whatever could
// be a secret. Changing a key then takes longer than finding none; that tells
// nobody more than a request with the secret would have.
func (a *api) leaked(c *call, given string, found keys.FoundAt) (bool, error) {
	found = keys.FoundAt{Source: a.mask(given, found.Source, maxSource), URL: a.mask(given, found.URL, maxURL)}
	if own := a.secrets.FindString(given); own != "" { // scanners take what stands around it along
		given = own
	}
	secret, err := keys.ForeignSecret(given)
	if err != nil {
		return false, nil //nolint:nilerr // no key can have it
	}
	digest := secret.Digest()
	if a.ConfigAdmin != nil && digest.Is(a.ConfigAdmin) {
		a.Logger.ErrorContext(c.ctx, "the admin key of the configuration was reported as leaked; change admin_key and reload", "source", found.Source, "url", found.URL)
		return true, nil
	}
	d := a.Authenticator.AuthenticateDigest(c.request.WithContext(c.ctx), &digest, c.now)
	if d.Outcome == gate.StoreUnavailable {
		return false, &deniedError{d}
	}
	if d.Key == nil {
		return false, nil
	}
	by := keys.By{Actor: leakReporter, IP: a.ClientIP(c.request), At: c.now}
	key, ended, err := a.Store.Leaked(c.ctx, by, digest, found)
	if errors.Is(err, keys.ErrNoSuchKey) { // it went in between
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if ended {
		c.changed("leak", leakReporter, key)
		a.Logger.WarnContext(c.ctx, "a leaked key was reported, and what it opens has ended",
			"key", string(key.ID), "enabled", key.Enabled, "source", found.Source, "url", found.URL)
	}
	return true, nil
}

// mask takes the secret, and whatever has the form of one, out of a text that
// is kept, and bounds it.
func (a *api) mask(secret, text string, most int) string {
	const masked = "[secret]"
	for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
		if form != "" {
			text = strings.ReplaceAll(text, form, masked)
		}
	}
	text = a.secrets.ReplaceAllString(text, masked)
	return shorten(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, text), most)
}
