// Package config is what an operator may write: the JSON of the app and of
// the handler, its defaults, and its faults. It opens nothing and knows
// neither Caddy nor requests; what patterns mean is package route's.
package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/route"
)

// The defaults of the contract's section 2.
const (
	DefaultKeyPrefix    = "kw"
	DefaultMaxKeys      = 100_000
	DefaultTTL          = time.Minute
	DefaultUnknownTTL   = 10 * time.Second
	DefaultStaleIfError = 5 * time.Minute
	DefaultLookups      = Rate(500)
	DefaultUsageKeep    = 90 * 24 * time.Hour
	DefaultRealm        = "api"
)

// The kinds of store: SQLite needs no server, Postgres serves many gateways.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// maxKeys bounds cache.max_keys: at 300 bytes each it is 30 GB.
const maxKeys = 100_000_000

// App is the configuration of the app api_keys.
type App struct {
	// Where keys are kept. Default: a SQLite file under Caddy's data directory.
	Store *Store `json:"store,omitempty"`

	// What new secrets begin with: `[a-z][a-z0-9_]{0,19}`, not ending in `_`.
	// Default: `kw`.
	KeyPrefix string `json:"key_prefix,omitempty"`

	// An admin key with write access that is not stored. Placeholders are
	// replaced at load; best is `{env.NAME}`. Default: none, and the first
	// start makes one.
	AdminKey string `json:"admin_key,omitempty"`

	// What is remembered of the store, and how long.
	Cache *Cache `json:"cache,omitempty"`

	// Whether and how long it is kept how keys are used.
	Usage *Usage `json:"usage,omitempty"`

	// Who is told, by signed messages, what happens to keys.
	Webhooks []Webhook `json:"webhooks,omitempty"`

	// What other gateways on the store, and people, call this one: 1 to 100 of
	// the characters a-z, A-Z, 0-9, `.`, `_`, `:` and `-`. Placeholders are
	// replaced at load. Default: the host's name and the process's number.
	Node string `json:"node,omitempty"`
}

// Usage says whether requests are counted by key, API, endpoint, access and
// outcome, and how long the counts are kept.
type Usage struct {
	// If true, nothing is counted.
	Off bool `json:"off,omitempty"`
	// How long counts by day are kept; those by hour are for 14 days of it, those
	// by minute for 2. Default: 90d.
	Keep *Duration `json:"keep,omitempty"`
}

// Store says where keys are kept.
type Store struct {
	// `sqlite` or `postgres`.
	Kind string `json:"kind"`

	// For sqlite: the file's path, relative to the working directory; default
	// under Caddy's data directory. For postgres: a URL, or keywords and values
	// (`host=… dbname=…`). Placeholders are replaced at load; best is
	// `{env.DATABASE_URL}`, as there is a password in it.
	Address string `json:"address,omitempty"`

	// For postgres: where changes are heard of, if the address leads to a
	// pooler such as pgbouncer, which passes no notifications on. Without it,
	// a node behind a pooler looks for changes 25 times a second.
	Listen string `json:"listen,omitempty"`
}

// Cache says what is remembered of the store, and how long.
type Cache struct {
	// How many keys are kept in memory. Default: 100000.
	MaxKeys *int `json:"max_keys,omitempty"`
	// How long a cached key may serve before it is checked again. Default: 1m.
	TTL *Duration `json:"ttl,omitempty"`
	// How long an unknown secret is remembered as unknown. Default: 10s.
	UnknownTTL *Duration `json:"unknown_ttl,omitempty"`
	// How long cached keys go on working while the store is down. Default: 5m.
	StaleIfError *Duration `json:"stale_if_error,omitempty"`
	// How many look-ups a second unknown secrets may cause. Default: 500/s.
	Lookups *Rate `json:"lookups,omitempty"`
	// How many keys a gateway that has just started reads into its cache,
	// those first that were used last. Default: 0, each when it is first used.
	Warm *int `json:"warm,omitempty"`
}

// Settings is an App with every default filled in.
type Settings struct {
	Store        Store
	KeyPrefix    string
	AdminKey     string
	MaxKeys      int
	TTL          time.Duration
	UnknownTTL   time.Duration
	StaleIfError time.Duration
	Lookups      Rate
	Warm         int
	Node         string
	UsageKeep    time.Duration // 0: usage is not counted
}

// Settings fills in the defaults; dataDir is Caddy's data directory.
func (a *App) Settings(dataDir string) Settings {
	s := Settings{
		Store:        Store{Kind: SQLite},
		KeyPrefix:    a.KeyPrefix,
		AdminKey:     a.AdminKey,
		Node:         a.Node,
		MaxKeys:      DefaultMaxKeys,
		TTL:          DefaultTTL,
		UnknownTTL:   DefaultUnknownTTL,
		StaleIfError: DefaultStaleIfError,
		Lookups:      DefaultLookups,
		UsageKeep:    a.Usage.keep(),
	}
	if a.Store != nil {
		s.Store = *a.Store
	}
	if s.Store.Kind == SQLite && s.Store.Address == "" {
		s.Store.Address = filepath.Join(dataDir, "keywarden", "keys.db")
	}
	if s.KeyPrefix == "" {
		s.KeyPrefix = DefaultKeyPrefix
	}
	if a.Cache == nil {
		return s
	}
	set(&s.MaxKeys, a.Cache.MaxKeys)
	set(&s.Lookups, a.Cache.Lookups)
	set(&s.Warm, a.Cache.Warm)
	set((*Duration)(&s.TTL), a.Cache.TTL)
	set((*Duration)(&s.UnknownTTL), a.Cache.UnknownTTL)
	set((*Duration)(&s.StaleIfError), a.Cache.StaleIfError)
	return s
}

func (u *Usage) keep() time.Duration {
	switch {
	case u == nil:
		return DefaultUsageKeep
	case u.Off:
		return 0
	case u.Keep == nil:
		return DefaultUsageKeep
	}
	return time.Duration(*u.Keep)
}

func set[T any](dst *T, value *T) {
	if value != nil {
		*dst = *value
	}
}

// Validate returns every fault of a at once, as *route.Fault joined.
func (a *App) Validate() error {
	var faults []error
	if a.Store != nil {
		faults = append(faults, a.Store.Validate())
	}
	if a.KeyPrefix != "" {
		faults = append(faults, wrap("key_prefix: ", checkKeyPrefix(a.KeyPrefix)))
	}
	if a.Cache != nil {
		faults = append(faults, a.Cache.validate())
	}
	if a.Usage != nil {
		faults = append(faults, a.Usage.validate())
	}
	for i := range a.Webhooks {
		faults = append(faults, a.Webhooks[i].Validate())
	}
	return errors.Join(faults...)
}

// Validate says whether the kind of store exists, and has what it needs.
func (s *Store) Validate() error {
	switch {
	case s.Kind != SQLite && s.Kind != Postgres:
		return fault("", "store %q: expected sqlite or postgres", s.Kind)
	case s.Kind == Postgres && s.Address == "":
		return fault("", "store postgres: found no address; expected one, such as {env.DATABASE_URL}")
	case s.Kind == SQLite && s.Listen != "":
		return fault("", "store sqlite: found listen; expected it with postgres only")
	}
	return nil
}

// Usage is kept for whole days, and not for ever: it grows with each.
const (
	leastUsageKeep = 24 * time.Hour
	mostUsageKeep  = 3660 * 24 * time.Hour
)

func (u *Usage) validate() error {
	switch {
	case u.Off && u.Keep != nil:
		return fault("", "usage: found both off and keep; expected one of them")
	case u.Keep != nil && (time.Duration(*u.Keep) < leastUsageKeep || time.Duration(*u.Keep) > mostUsageKeep):
		return fault("", "usage.keep %s: expected 1d to 3660d; usage off counts nothing", u.Keep)
	}
	return nil
}

func (c *Cache) validate() error {
	var faults []error
	if c.MaxKeys != nil && (*c.MaxKeys < 1 || *c.MaxKeys > maxKeys) {
		faults = append(faults, fault("", "cache.max_keys %d: expected 1 to %d", *c.MaxKeys, maxKeys))
	}
	if c.Warm != nil {
		kept := DefaultMaxKeys
		set(&kept, c.MaxKeys)
		if *c.Warm < 0 || *c.Warm > kept {
			faults = append(faults, fault("", "cache.warm %d: expected 0 to %d, as many as max_keys", *c.Warm, kept))
		}
	}
	for _, d := range []struct {
		name  string
		value *Duration
	}{{"ttl", c.TTL}, {"unknown_ttl", c.UnknownTTL}, {"stale_if_error", c.StaleIfError}} {
		if d.value != nil && *d.value < 0 {
			faults = append(faults, fault("", "cache.%s: duration %s %v", d.name, d.value, errNegative))
		}
	}
	if c.Lookups != nil && (*c.Lookups < 1 || *c.Lookups > maxRate) {
		faults = append(faults, fault("", "cache.lookups %d: expected 1/s to %d/s", *c.Lookups, maxRate))
	}
	return errors.Join(faults...)
}

// checkKeyPrefix is the rule of the contract's section 3. It is written out
// here because this room does not import keys.
func checkKeyPrefix(prefix string) error {
	valid := len(prefix) <= 20 && prefix[0] >= 'a' && prefix[0] <= 'z' && prefix[len(prefix)-1] != '_'
	for i := range len(prefix) {
		c := prefix[i]
		valid = valid && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_')
	}
	if !valid {
		return fmt.Errorf("%q: expected 1 to 20 characters a-z, 0-9 and _, the first a letter, the last no _", prefix)
	}
	return nil
}

func wrap(context string, err error) error {
	if err == nil {
		return nil
	}
	return fault("", "%s%v", context, err)
}

func fault(where, format string, args ...any) error {
	return &route.Fault{Where: where, Message: fmt.Sprintf(format, args...)}
}
