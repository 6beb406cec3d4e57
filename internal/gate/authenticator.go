package gate

import (
	"math"
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
	// clientIP is the address of a request's client; nil: nobody can tell.
	clientIP func(*http.Request) string
	// howTo says where a key belongs, for those who sent none.
	howTo string
	// failures counts secrets that are none, by source; nil: nobody is limited.
	failures *FailLimit
}

const severalCredentials = "the request carries more than one credential; send exactly one"

// NewAuthenticator returns an Authenticator of secrets with the given prefix.
func NewAuthenticator(c Credentials, keyPrefix string, l *Lookup) *Authenticator {
	return &Authenticator{credentials: c.canonical(), keyPrefix: keyPrefix, lookup: l, howTo: c.howTo()}
}

// SeeClients lets a judge by addresses, for keys that are limited to some:
// clientIP returns the address of a request's client, "" for none. Without it
// such keys are refused.
func (a *Authenticator) SeeClients(clientIP func(*http.Request) string) *Authenticator {
	a.clientIP = clientIP
	return a
}

// LimitFailures lets a answer sources that present too many secrets that are
// none with TooManyFailures instead of UnknownKey. Nothing else changes for
// them: the key of a neighbour behind the same address is judged as ever.
func (a *Authenticator) LimitFailures(l *FailLimit) *Authenticator {
	a.failures = l
	return a
}

// Authenticate decides on the caller alone: Allowed with Key set, or why not.
func (a *Authenticator) Authenticate(r *http.Request, now time.Time) (d Decision) {
	switch text, count := a.credentials.find(r); count {
	case 0:
		d.Outcome, d.Reason = MissingKey, a.howTo
	case 1:
		a.judge(&d, r, text, now)
	default:
		return refuse(AmbiguousRequest, severalCredentials)
	}
	return d
}

// Strip removes the credentials from r, so that the upstream never sees them.
func (a *Authenticator) Strip(r *http.Request) { a.credentials.Strip(r) }

// StripOwn removes from r only credentials of the form of NewSecret: what looks
// else may be what the upstream itself asks for.
func (a *Authenticator) StripOwn(r *http.Request) {
	a.credentials.strip(r, func(text string) bool {
		_, err := keys.ParseSecret(a.keyPrefix, text)
		return err == nil
	})
}

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

// judge fills in d, which is zero: a Decision is copied as seldom as possible.
func (a *Authenticator) judge(d *Decision, r *http.Request, text string, now time.Time) {
	secret, ok := a.parse(text)
	if !ok {
		d.Outcome = UnknownKey
	} else {
		digest := secret.Digest()
		a.judgeDigest(r, d, &digest, now)
	}
	if d.Outcome == UnknownKey && a.failures != nil {
		a.countFailure(d, r, now)
	}
}

// countFailure refuses a source that has failed too often.
func (a *Authenticator) countFailure(d *Decision, r *http.Request, now time.Time) {
	if wait := a.failures.Fail(a.address(r), now); wait > 0 {
		d.Outcome, d.Wait = TooManyFailures, int32(min(math.Ceil(wait.Seconds()), math.MaxInt32))
	}
}

// address is where r comes from, as far as anybody can tell.
func (a *Authenticator) address(r *http.Request) string {
	if a.clientIP == nil {
		return ""
	}
	return a.clientIP(r)
}

// AuthenticateDigest decides on a caller who presented the secret with this
// digest before, as if r presented it now.
func (a *Authenticator) AuthenticateDigest(r *http.Request, digest *keys.Digest, now time.Time) (d Decision) {
	a.judgeDigest(r, &d, digest, now)
	return d
}

func (a *Authenticator) judgeDigest(r *http.Request, d *Decision, digest *keys.Digest, now time.Time) {
	var id *keys.Identity
	id, d.Found, d.Err = a.lookup.Find(r.Context(), digest, now)
	d.Asked = true
	if d.Err != nil {
		d.Outcome = StoreUnavailable
		return
	}
	d.judgeKey(id, now)
	if d.Outcome == Allowed && id.Sources != "" {
		a.judgeSource(d, r)
	}
}

// judgeSource refuses a key that is limited to other addresses than the one
// that r comes from.
func (a *Authenticator) judgeSource(d *Decision, r *http.Request) {
	d.limitSource(a.address(r))
}

// limitSource is judgeSource for an address.
func (d *Decision) limitSource(address string) {
	if d.Key.Sources.Contain(address) {
		return
	}
	if address == "" {
		address = "a client without an address"
	}
	d.Outcome, d.Reason = SourceNotAllowed, address
}

// JudgeKey decides on a key that was looked up; nil is an unknown one.
func JudgeKey(id *keys.Identity, now time.Time) (d Decision) {
	d.judgeKey(id, now)
	return d
}

// judgeKey judges expiry here, at the request's time, whatever is cached.
func (d *Decision) judgeKey(id *keys.Identity, now time.Time) {
	d.Outcome = UnknownKey
	if id == nil {
		return
	}
	switch id.Status(now.UnixMilli()) {
	case keys.Active:
		d.Outcome, d.Key = Allowed, id
	case keys.Disabled:
		d.Outcome, d.Key = DisabledKey, id
	case keys.Expired:
		d.Outcome, d.Key = ExpiredKey, id
	case keys.Unknown:
		// A secret past its grace: the key is not named, it belongs to somebody.
	}
}
