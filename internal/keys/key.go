// Package keys says what a key and a secret are, and what a store of keys
// must do. It does no I/O itself.
package keys

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// ID names a key for good: "key_" and 32 hexadecimal digits of a UUIDv7
// (RFC 9562), so that ids sort by their time of creation.
type ID string

// ConfigID is the id of the admin key that stands in the configuration.
const ConfigID ID = "config"

// NewID returns a new, unique id.
func NewID() ID {
	return ID("key_" + strings.ReplaceAll(uuid.Must(uuid.NewV7()).String(), "-", ""))
}

// Key is a key as people manage it: everything but its secrets.
type Key struct {
	ID          ID
	Name        string // 1 to 100 characters
	Owner       string // opaque; up to 200 characters; "" is nobody's
	Prefix      string // what is displayed of the current secret
	Permissions permission.Set
	Admin       permission.Access // on the admin API
	Enabled     bool
	Legacy      bool      // imported
	ExpiresAt   time.Time // zero: never
	CreatedAt   time.Time
	UpdatedAt   time.Time
	CreatedBy   ID
	LastUsedAt  time.Time // zero: never
	Metadata    map[string]string
	Sources     Sources   // where the key may be used from
	Rotation    *Rotation // not nil while a rotated secret is in its grace
	// Version counts the changes of the key; its ETag. LastUsedAt does not
	// count as a change.
	Version int64
}

// Rotation is an earlier secret that still works for a while.
type Rotation struct {
	PreviousPrefix    string
	PreviousExpiresAt time.Time
}

// Status is derived from a key and the time; it is never stored.
type Status string

// The three statuses. A key that is disabled and past its expiry is disabled:
// enabling it is what its owner must do first.
const (
	Active   Status = "active"
	Disabled Status = "disabled"
	Expired  Status = "expired"
)

// Status returns the key's status at the given time.
func (k *Key) Status(now time.Time) Status {
	switch {
	case !k.Enabled:
		return Disabled
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return Expired
	}
	return Active
}

// IsAdmin reports whether k can change keys at the given time: what the guard
// of the last admin key counts.
func (k *Key) IsAdmin(now time.Time) bool {
	return k.Admin == permission.Write && k.Status(now) == Active
}
