package gate

import (
	"context"
	"net/http"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// Authenticator finds out who called: it finds the credential, checks its
// form, looks it up and judges the key's status now.
type Authenticator struct {
	credentials Credentials
	keyPrefix   string
	lookup      *Lookup
}

// NewAuthenticator returns an Authenticator of secrets with the given prefix.
func NewAuthenticator(c Credentials, keyPrefix string, l *Lookup) *Authenticator {
	return &Authenticator{credentials: c.canonical(), keyPrefix: keyPrefix, lookup: l}
}

// Authenticate decides on the caller alone: Allowed with Key set, or why not.
func (a *Authenticator) Authenticate(r *http.Request, now time.Time) Decision {
	text, count := a.credentials.find(r)
	if count > 1 {
		return refuse(AmbiguousRequest, "the request carries more than one credential; send exactly one")
	}
	if count == 0 {
		return Decision{Outcome: MissingKey}
	}
	return a.judge(r, text, now)
}

// Strip removes the credentials from r, so that the upstream never sees them.
func (a *Authenticator) Strip(r *http.Request) { a.credentials.Strip(r) }

// Presented returns the credential that r carries, whatever its form, and how
// many there are. It is for callers that accept a secret of their own besides.
func (a *Authenticator) Presented(r *http.Request) (text string, count int) {
	return a.credentials.find(r)
}

// Secret returns the secret that r carries, if it carries one of a possible form.
func (a *Authenticator) Secret(r *http.Request) (keys.Secret, bool) {
	text, count := a.credentials.find(r)
	if count != 1 {
		return keys.Secret{}, false
	}
	return a.parse(text)
}

func (a *Authenticator) parse(text string) (keys.Secret, bool) {
	secret, err := keys.ParseSecret(a.keyPrefix, text)
	if err == nil {
		return secret, true
	}
	if !a.lookup.Foreign() {
		return keys.Secret{}, false
	}
	secret, err = keys.ForeignSecret(text)
	return secret, err == nil
}

func (a *Authenticator) judge(r *http.Request, text string, now time.Time) Decision {
	secret, ok := a.parse(text)
	if !ok {
		return Decision{Outcome: UnknownKey}
	}
	digest := secret.Digest()
	return a.AuthenticateDigest(r.Context(), &digest, now)
}

// AuthenticateDigest decides on a caller who presented the secret with this
// digest before, as if it were presented now.
func (a *Authenticator) AuthenticateDigest(ctx context.Context, digest *keys.Digest, now time.Time) Decision {
	id, found, err := a.lookup.Find(ctx, digest, now)
	if err != nil {
		return Decision{Outcome: StoreUnavailable, Found: found, Asked: true, Err: err}
	}
	d := JudgeKey(id, now)
	d.Found, d.Asked = found, true
	return d
}

// JudgeKey decides on a key that was looked up; nil is an unknown one. Expiry
// is judged here, at the request's time, whatever is cached.
func JudgeKey(id *keys.Identity, now time.Time) Decision {
	if id == nil {
		return Decision{Outcome: UnknownKey}
	}
	switch id.Status(now.UnixMilli()) {
	case keys.Active:
		return Decision{Outcome: Allowed, Key: id}
	case keys.Disabled:
		return Decision{Outcome: DisabledKey, Key: id}
	case keys.Expired:
		return Decision{Outcome: ExpiredKey, Key: id}
	}
	// A secret past its grace: the key is not named, it belongs to somebody.
	return Decision{Outcome: UnknownKey}
}
