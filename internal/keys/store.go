package keys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// Errors on which callers act. Every other error of a Store is a technical
// fault: the store could not be asked, and nothing was changed.
var (
	// ErrNoSuchKey: no key has this id, or no secret this digest.
	ErrNoSuchKey = errors.New("no such key")
	// ErrVersion: the key has changed since the caller saw it.
	ErrVersion = errors.New("the key has changed in the meantime")
	// ErrLastAdmin: the change would leave no enabled admin key.
	ErrLastAdmin = errors.New("this is the last enabled admin key")
	// ErrLostPlace: the changes after the given Seq are not all kept any
	// more; whoever asked must forget all that it remembered.
	ErrLostPlace = errors.New("the change feed does not reach back so far")
	// ErrNewerVersion: the database was written by a newer version.
	ErrNewerVersion = errors.New("the database was written by a newer version of Keywarden; it was not touched; start that version, or a newer one")
	// ErrNoSuchNode: no node has this id.
	ErrNoSuchNode = errors.New("no such node")
	// ErrBadCursor: the cursor was not made by this store's listing.
	ErrBadCursor = errors.New("not a cursor of this list")
)

// KnownSecretError says that a secret to be created is in the store already.
type KnownSecretError struct {
	Index int // in the slice given to Create
}

func (e *KnownSecretError) Error() string {
	return fmt.Sprintf("the secret of key %d is known already", e.Index)
}

// Seq numbers changes, in commit order and without gaps: whoever has seen n
// can see every number below it.
type Seq int64

// Change is one committed change, as far as caches need to know it.
type Change struct {
	Seq Seq
	// At is when the change was committed, by the clock of the node that did.
	At time.Time
	// Digests are all the secrets whose Identity the change may have altered:
	// created, edited or deleted.
	Digests []Digest
	// Foreign says that secrets of another format came in.
	Foreign bool
}

// By is who makes a change, for the audit.
type By struct {
	Actor ID     // key id, ConfigID, "bootstrap" or "cli@HOST"
	IP    string // client address; "" for none
	At    time.Time
}

// New is a key to be created, and its secret's digest.
type New struct {
	Key     Key // ID, Prefix, CreatedAt, CreatedBy… filled in by the caller; Version is set to 1
	Digest  Digest
	Foreign bool // the secret has not the format of NewSecret, or only its digest is known
}

// Guard is what must hold for a change of one key to be made.
type Guard struct {
	// Version is what the key's Version must be; 0: any.
	Version int64
	// KeepAdmin refuses, with ErrLastAdmin, a change after which no key
	// IsAdmin although this one did before.
	KeepAdmin bool
}

// Query selects keys for List. Zero fields select everything.
type Query struct {
	Owner  *string
	Status Status // at Now; "" any
	Now    time.Time
	Text   string // found in name, prefix, id or owner, in any letter case (Unicode)
	API    string // keys with any access to it
	// UnusedSince selects keys that were not used on the day (of UTC) that holds
	// it, nor later; one that never was counts as used when it was created. They
	// are listed in the order of that day, longest unused first. Zero: any.
	UnusedSince time.Time
	Sort        Sort   // "": newest first, or of unused keys the longest unused first
	Limit       int    // 1 to 200
	Cursor      string // of the page before; "" the first page
}

// FoundAt is where a leaked secret was found, as whoever found it says.
type FoundAt struct {
	Source string // who looked: "github"
	URL    string // what it lies at
}

// AuditEntry is one change that somebody made.
type AuditEntry struct {
	ID     string
	At     time.Time
	Actor  ID
	Action string // create, update, enable, disable, rotate, delete, import, bootstrap, leak, put_endpoint, delete_endpoint
	Key    ID     // "" where the change is not of a key
	IP     string
	Before json.RawMessage // the key (or endpoint) before; null for none
	After  json.RawMessage
}

// AuditQuery selects audit entries.
type AuditQuery struct {
	Key, Actor ID
	Limit      int
	Cursor     string
}

// Endpoint is a registered endpoint of an API, so that consoles can list it.
// It grants nothing.
type Endpoint struct {
	API, ID, Title string
}

// Store keeps keys, the digests of their secrets, the audit, the change feed,
// the catalogue of endpoints and what is known of the running nodes. It never sees a secret. One suite,
// internal/store/storetest, says what each method does; this interface is
// only what that suite proves.
//
// Methods may be called concurrently. Each change is one transaction: the
// row, its audit entry and its Change, or nothing. A change that returned nil
// survives kill -9 and power loss. After its commit and before it returns,
// the store calls the OnCommit that it was opened with.
type Store interface {
	// Find returns who the secret with this digest belongs to, or
	// ErrNoSuchKey. It is the hot look-up: one indexed query. Disabled and
	// expired keys, and secrets past their grace, are found too: the caller
	// judges by its own clock.
	Find(ctx context.Context, d Digest) (*Identity, error)
	// FindMany is Find for many digests by one query. It returns, in no order,
	// who those of them belong to that somebody has.
	FindMany(ctx context.Context, ds []Digest) ([]*Identity, error)

	// Get returns a key, or ErrNoSuchKey. now decides whether Rotation shows.
	Get(ctx context.Context, id ID, now time.Time) (*Key, error)
	// List returns a page of keys, newest first, and the cursor of the next
	// page ("" after the last).
	List(ctx context.Context, q Query) ([]*Key, string, error)

	// Create stores all the keys or none. action is the audit's word.
	// A digest that is known, or twice in ks, is a *KnownSecretError.
	Create(ctx context.Context, by By, action string, ks []New) error
	// CreateFirstAdmin stores k if no key has admin access Write, enabled or
	// not, and says whether it did. Of several callers at once one does.
	CreateFirstAdmin(ctx context.Context, by By, k New) (bool, error)
	// Update calls edit with the key in a transaction and stores what edit
	// made of it. Name, Owner, Permissions, Admin, Enabled, ExpiresAt,
	// Sources and Metadata may be edited; UpdatedAt and Version are set by the store. An
	// error of edit is returned as it is, and nothing is changed. An edit
	// that changes nothing is stored as nothing: same Version, no audit entry.
	// The audit's action is enable or disable where only that changed, else update.
	Update(ctx context.Context, by By, id ID, g Guard, edit func(*Key) error) (*Key, error)
	// Rotate gives the key a new secret. The one that was current works until
	// graceEnds (not after by.At: it is gone at once); an older one in its
	// grace is gone at once. It sets Prefix, UpdatedAt, Version, and clears Legacy.
	Rotate(ctx context.Context, by By, id ID, g Guard, d Digest, prefix string, graceEnds time.Time) (*Key, error)
	// Leaked ends what the leaked secret with this digest opens, and says whether
	// anything was left to end: an earlier secret in its grace ends at once,
	// and the key goes on with its current one; for a current secret the key
	// is disabled, be it the last admin key. ErrNoSuchKey: the secret belongs
	// to none, or is past its grace. The audit's action is leak; its After has
	// the member leak besides the key's: the secret's prefix, and found.
	Leaked(ctx context.Context, by By, d Digest, found FoundAt) (*Key, bool, error)
	// Delete removes the key and its secrets. The audit keeps its entries.
	Delete(ctx context.Context, by By, id ID, g Guard) error

	// Audit returns a page of entries, newest first, and the next cursor.
	Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, string, error)

	// Endpoints returns the registered endpoints, sorted by API and id.
	Endpoints(ctx context.Context) ([]Endpoint, error)
	// PutEndpoint registers e or changes its title.
	PutEndpoint(ctx context.Context, by By, e Endpoint) error
	// DeleteEndpoint forgets an endpoint; ErrNoSuchKey if there is none.
	DeleteEndpoint(ctx context.Context, by By, api, id string) error

	// Touch records when keys were last used; earlier times than the stored
	// ones and ids that are gone are passed over (an UPDATE, never an upsert:
	// a deleted key must not be written back).
	Touch(ctx context.Context, used map[ID]time.Time) error

	// AddUsage adds to what is known of how keys were used: all of the batch or
	// nothing. Keys that are gone are passed over, and a batch that was added
	// before. Of what a key does on one day, the first MaxUsesADay things are
	// told apart; the endpoints of the others are counted as OtherEndpoints.
	AddUsage(ctx context.Context, b UsageBatch) error
	// Usage returns how a key was used, or ErrNoSuchKey.
	Usage(ctx context.Context, q UsageQuery) (*Usage, error)
	// SumUsage returns the usage of all keys, added up by group.
	SumUsage(ctx context.Context, q UsageSumQuery) (*UsageSums, error)
	// PruneUsage removes what is older than keep says, unless some node did so
	// within the time every. What it leaves unfinished the next call removes.
	PruneUsage(ctx context.Context, keep UsageKeep, now time.Time, every time.Duration) error
	// PutNode makes a node known, with the APIs that it declares, or replaces
	// what was known of it. SeenAt becomes the store's time, which is
	// returned; SeenAt and Silence of n are not looked at. What nodes tell of
	// themselves is no change: no number, no feed, no audit; and it need not
	// survive power loss, which no node survives.
	PutNode(ctx context.Context, n Node, apis []Declared) (time.Time, error)
	// Beat says that a node is there still, and returns the store's time;
	// ErrNoSuchNode if the store has forgotten it.
	Beat(ctx context.Context, id string, p Pulse) (time.Time, error)
	// DropNode forgets a node, if it is known.
	DropNode(ctx context.Context, id string) error
	// PruneNodes forgets the nodes that are gone.
	PruneNodes(ctx context.Context) error
	// Nodes returns the nodes that are not gone, those that have started
	// first first, and the number of the last change at that moment.
	Nodes(ctx context.Context) ([]Node, Seq, error)
	// Declared returns what the nodes that are not gone declare, without the
	// given one ("" for none), in the order of Nodes. An API that several
	// declare is there several times.
	Declared(ctx context.Context, without string) ([]Declared, error)

	// LastSeq returns the number of the last change; 0 before the first.
	LastSeq(ctx context.Context) (Seq, error)
	// Changes returns up to limit changes after the given one, in order, or
	// ErrLostPlace.
	Changes(ctx context.Context, after Seq, limit int) ([]Change, error)
	// AwaitChange returns nil when there may be a change after the given one
	// (made by any process), or ctx's error.
	AwaitChange(ctx context.Context, after Seq) error
	// Recent calls yield with the identities of up to limit keys, of each
	// secret one, until it returns false: the keys that were used last, then
	// those that were created last, in no particular order. It reads all keys
	// to find them, and is for a start.
	Recent(ctx context.Context, limit int, yield func(*Identity) bool) error
	// Digests calls yield with each stored digest until it returns false.
	Digests(ctx context.Context, yield func(Digest) bool) error
	// HasForeign says whether any secret is Foreign. It is asked at start, so
	// it must be quick however many keys there are (a partial index).
	HasForeign(ctx context.Context) (bool, error)
	// HasAdmin says whether any key, enabled or not, has admin access Write:
	// what CreateFirstAdmin goes by.
	HasAdmin(ctx context.Context) (bool, error)
	// Counts returns how many keys have each status at now.
	Counts(ctx context.Context, now time.Time) (Counts, error)

	Outbox

	// Ping says whether the store can be asked now.
	Ping(ctx context.Context) error
	// Close ends the store; calls under way fail or finish.
	Close() error
}

// Counts are numbers over all keys.
type Counts struct {
	Active, Disabled, Expired int64
}

// Options are what a Store is opened with.
type Options struct {
	// OnCommit is called after each commit of this process's own changes,
	// before the method returns; nil for none. It must not call the store.
	OnCommit func(Change)
	// MaxChanges is how many changes the feed keeps at least; 0: 100 000.
	MaxChanges int
}

// AdminAccess is a shorthand for readers: the access that opens the admin API
// for changes.
const AdminAccess = permission.Write
