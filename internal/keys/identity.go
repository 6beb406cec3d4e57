package keys

import (
	"sync/atomic"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// Identity is who a secret belongs to and what it may do: all that a decision
// needs of a key, and what the cache holds. It is never changed once made (but
// for how it is used, and how fresh it is), and never copied.
//
// There may be millions in memory, so it is small: 80 bytes, and behind them, in
// the same block of memory, its texts. What many keys have in common they share.
// Times are Unix milliseconds, 0 for never.
type Identity struct {
	Digest Digest
	*Rights
	ExpiresAt int64 // of the key
	// Stamp belongs to package cache: when the store was asked last, which moves on
	// as long as it says the same, and of which generation the answer is.
	Stamp atomic.Uint64
	// Tally and used belong to package usage: how the key is used, until that is
	// written down. They hang on the Identity so that counting needs no look-up
	// of its own. Many keys do one thing, and have no Tally.
	Tally atomic.Pointer[Tally]
	used  atomic.Uint64
	// lengths are those of the texts: the id, the prefix, the owner, the name.
	lengths [textCount]uint16
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
	i := newWithTexts([textCount]string{string(n.ID), n.Prefix, n.Owner, n.Name})
	i.Digest, i.Rights, i.ExpiresAt = d, r, expiresAt
	return i
}

// ID returns the key's id.
func (i *Identity) ID() ID { return ID(i.text(idText)) }

// Prefix returns what is displayed of the secret that was presented.
func (i *Identity) Prefix() string { return i.text(prefixText) }

// Owner returns the key's owner.
func (i *Identity) Owner() string { return i.text(ownerText) }

// Name returns the key's name.
func (i *Identity) Name() string { return i.text(nameText) }

// Names returns all of them.
func (i *Identity) Names() Names {
	return Names{ID: i.ID(), Prefix: i.Prefix(), Owner: i.Owner(), Name: i.Name()}
}

// Same reports whether other says the same of the same secret, how it was used
// aside. It may be false where it does, for rights that are not shared.
func (i *Identity) Same(other *Identity) bool {
	return i.Digest.Is(&other.Digest) && i.Rights == other.Rights && i.ExpiresAt == other.ExpiresAt && i.Names() == other.Names()
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
