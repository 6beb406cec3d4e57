package keys

import (
	"sync/atomic"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// Identity is who a secret belongs to and what it may do: all that a decision
// needs of a key, and what the cache holds. It is never changed once made (but
// for how it is used), and never copied.
//
// There may be millions in memory, so it is small: 96 bytes, which is a size of
// Go's allocator, and one text. What many keys have in common they share.
// Times are Unix milliseconds, 0 for never.
type Identity struct {
	Digest Digest
	text   string // the id, the prefix, the owner and the name, end to end
	*Rights
	ExpiresAt int64 // of the key
	// CheckedAt and Generation belong to package cache, which sets them before
	// anybody else sees the Identity there: when the store was asked, and of
	// which generation of entries this is one.
	CheckedAt time.Duration
	use       atomic.Pointer[Use]
	// Where in text the others begin.
	prefixAt, ownerAt, nameAt uint32
	Generation                uint32
}

// Rights are what a secret may do. Identities share them, so they are never
// changed once made.
type Rights struct {
	Permissions permission.Set
	Admin       permission.Access
	Enabled     bool
	Sources     Sources
	// EndsAt is the end of a secret's grace, after a rotation: few have one.
	EndsAt int64
}

// Names are the texts of an Identity.
type Names struct {
	ID     ID
	Prefix string // of the secret that was presented
	Owner  string
	Name   string
}

// NewIdentity returns who the secret with the digest d belongs to.
func NewIdentity(d Digest, n Names, r *Rights, expiresAt int64) *Identity {
	prefix := len(n.ID)
	owner := prefix + len(n.Prefix)
	name := owner + len(n.Owner)
	return &Identity{
		Digest: d, text: string(n.ID) + n.Prefix + n.Owner + n.Name, Rights: r, ExpiresAt: expiresAt,
		prefixAt: uint32(prefix), ownerAt: uint32(owner), nameAt: uint32(name), //nolint:gosec // G115: no text has 4 GB
	}
}

// ID returns the key's id.
func (i *Identity) ID() ID { return ID(i.text[:i.prefixAt]) }

// Prefix returns what is displayed of the secret that was presented.
func (i *Identity) Prefix() string { return i.text[i.prefixAt:i.ownerAt] }

// Owner returns the key's owner.
func (i *Identity) Owner() string { return i.text[i.ownerAt:i.nameAt] }

// Name returns the key's name.
func (i *Identity) Name() string { return i.text[i.nameAt:] }

// Names returns all of them.
func (i *Identity) Names() Names {
	return Names{ID: i.ID(), Prefix: i.Prefix(), Owner: i.Owner(), Name: i.Name()}
}

// Use returns how the key is used: the one part of an Identity that changes.
// It is made with the first use, as most keys of a large cache are idle.
func (i *Identity) Use() *Use {
	if u := i.use.Load(); u != nil {
		return u
	}
	i.use.CompareAndSwap(nil, new(Use))
	return i.use.Load()
}

// Status returns the status of the key at nowMilli. A secret past its grace
// is Unknown: it is as if it had been deleted.
func (i *Identity) Status(nowMilli int64) Status {
	switch {
	case i.EndsAt != 0 && nowMilli >= i.EndsAt:
		return Unknown
	case !i.Enabled:
		return Disabled
	case i.ExpiresAt != 0 && nowMilli >= i.ExpiresAt:
		return Expired
	}
	return Active
}

// Unknown is the status of a secret that opens nothing any more. Only an
// Identity has it.
const Unknown Status = "unknown"
