package admin

import (
	"crypto/sha256"
	"math"
	"net/http"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// guesses bounds how often an address may be wrong about the admin key of the
// configuration, the one secret that an operator makes up: whoever is asked to
// sign in is held to the same, and must not get round it by the API. A text of
// our own form is no guess, as it has 190 random bits; nor is the secret of a
// stored key. While an address must wait nothing that it sends is compared
// with the configured key, the right one included: else trying would go on as
// fast as ever. Stored keys and sessions go on working.
type guesses struct{ limit *gate.FailLimit }

func newGuesses() guesses {
	return guesses{gate.NewFailLimit(freeAttempts, freeAttempts*attemptEvery)}
}

// isConfigAdmin reports whether r presents the configured admin key, and what
// it took to find out. Digests are compared in constant time, so that the time
// of an answer tells nothing about the key.
func (a *api) isConfigAdmin(r *http.Request, now time.Time) (is bool, spent guess) {
	text, count := a.Authenticator.Presented(r)
	if a.ConfigAdmin == nil || count != 1 || len(text) > keys.MaxSecretLen {
		return false, spent
	}
	if _, err := keys.ParseSecret(a.KeyPrefix, text); err != nil {
		// Counted before it is compared: of many at once no more are judged.
		spent = guess{address: a.ClientIP(r), counted: true}
		if spent.wait = a.guesses.limit.Fail(spent.address, now); spent.wait > 0 {
			return false, spent
		}
	}
	digest := keys.Digest(sha256.Sum256([]byte(text)))
	is = digest.Is(a.ConfigAdmin)
	if is {
		a.guesses.settle(spent)
	}
	return is, spent
}

// guess is a text that may have been meant for the configured admin key.
type guess struct {
	address string
	counted bool
	wait    time.Duration // 0: it was compared
}

// settle gives back what was spent on a guess that was none.
func (g guesses) settle(spent guess) {
	if spent.counted && spent.wait == 0 {
		g.limit.Forgive(spent.address)
	}
}

// judged is the decision on a caller who presented something else than the
// configured key.
func (g guesses) judged(d gate.Decision, spent guess) gate.Decision {
	if d.Outcome != gate.UnknownKey {
		g.settle(spent)
		return d
	}
	if spent.wait > 0 {
		d.Outcome, d.Wait = gate.TooManyFailures, int32(math.Ceil(spent.wait.Seconds()))
		d.Reason = "too many wrong admin keys have come from this address, so the one of the configuration is not taken from it for a while; stored admin keys are"
	}
	return d
}
