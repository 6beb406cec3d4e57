package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// Authenticator says who calls. gate.Authenticator is one.
type Authenticator interface {
	// Presented returns the credential of r, and how many there are.
	Presented(r *http.Request) (text string, count int)
	// Authenticate decides on the caller alone.
	Authenticate(r *http.Request, now time.Time) gate.Decision
	// AuthenticateDigest decides on a caller who presented the secret with
	// this digest before.
	AuthenticateDigest(r *http.Request, digest *keys.Digest, now time.Time) gate.Decision
}

// Options are what the admin API works with. Store, Authenticator and Catalog
// must be given; the rest has defaults.
type Options struct {
	Store         keys.Store
	Authenticator Authenticator
	// Catalog returns the catalog of the moment: it changes with each
	// configuration.
	Catalog func() *gate.Catalog
	// Fleet knows the other nodes on the store; nil: this is none of them, so
	// that nobody is waited for.
	Fleet Fleet
	// KeyPrefix stands before new secrets; "": keys.DefaultPrefix.
	KeyPrefix string
	// ConfigAdmin is the digest of the admin key in the configuration; nil
	// for none. While there is one, the last stored admin key may go.
	ConfigAdmin *keys.Digest
	Realm       string                      // of WWW-Authenticate; "": "admin"
	Ready       func(context.Context) error // nil: Store.Ping
	Now         func() time.Time            // nil: time.Now
	Random      io.Reader                   // nil: crypto/rand
	Logger      *slog.Logger                // technical faults; nil: none
	// ClientIP is the caller's address for the audit; nil: that of the connection.
	ClientIP func(*http.Request) string
	Version  string // of the product, for the OpenAPI document; "": "dev"
	// Used hears of each admin key that opened a call, for its last_used_at;
	// nil: nobody.
	Used func(*keys.Identity, time.Time)
	// Usage counts how keys are used; nil: nobody does.
	Usage Usage
	// Changed hears of each key that a call has changed, when the call is
	// answered; nil: nobody. It must not wait.
	Changed func(Change)
	// Webhooks are those of the configuration.
	Webhooks []Webhook
	// Redelivered hears that a delivery is to be sent again; nil: nobody. It
	// must not wait.
	Redelivered func()
	// NoLeakReports leaves POST /v1/leaks out.
	NoLeakReports bool
	// GitHub judges who sent an alert of GitHub's secret scanning; nil: there
	// is no POST /v1/leaks/github.
	GitHub func(body []byte, keyID, signature string) error
	// Sessions open the API like the admin keys that they were opened with;
	// nil: there are none.
	Sessions *Sessions
}

func (o Options) withDefaults() (Options, error) {
	if o.Store == nil || o.Authenticator == nil || o.Catalog == nil {
		return o, errors.New("making the admin API: a store, an authenticator and a catalog are needed")
	}
	if o.KeyPrefix == "" {
		o.KeyPrefix = keys.DefaultPrefix
	}
	if err := keys.CheckPrefix(o.KeyPrefix); err != nil {
		return o, err
	}
	if o.Realm == "" {
		o.Realm = "admin"
	}
	if o.Ready == nil {
		o.Ready = o.Store.Ping
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.ClientIP == nil {
		o.ClientIP = connectionIP
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	return o, nil
}

// connectionIP returns the address at the other end of the connection.
func connectionIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "" // a unix socket
	}
	return host
}

// api is the admin API: what serves each operation, and its documentation.
type api struct {
	Options
	routes   []route
	schemas  *validator
	document []byte // /v1/openapi.json
	// reports and forged count who reports leaks, and whose alerts are not GitHub's.
	reports, forged *gate.FailLimit
	guesses         guesses
	secrets         *regexp.Regexp // of our own form, in a text
	unready         atomic.Bool    // what the last GET /readyz found
}

// New returns the admin API: /v1, /docs, /healthz and /readyz.
func New(o Options) (http.Handler, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &api{
		Options: o, guesses: newGuesses(),
		reports: gate.NewFailLimit(reportsAMinute, time.Minute), forged: gate.NewFailLimit(reportsAMinute, time.Minute),
		secrets: regexp.MustCompile(fmt.Sprintf("%s_[0-9A-Za-z]{%d}", regexp.QuoteMeta(o.KeyPrefix), keys.SecretRun)),
	}
	operations := a.operations()
	if err := a.describe(operations); err != nil {
		return nil, err
	}
	for _, operation := range operations {
		a.handle(operation.method, operation.path, a.endpoint(operation))
	}
	if err := a.routeDocs(); err != nil {
		return nil, err
	}
	return a, nil
}
