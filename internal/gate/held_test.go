package gate

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// heldStore is a real store whose look-ups can be held after the database has
// answered, as on a slow network, and counted.
type heldStore struct {
	keys.Store
	finds atomic.Int64
	// hold, if set, is called with the database's answer in hand.
	hold atomic.Pointer[func()]
	// fail, if set, is what look-ups return instead of asking.
	fail atomic.Pointer[error]
}

func (s *heldStore) Find(ctx context.Context, d keys.Digest) (*keys.Identity, error) {
	s.finds.Add(1)
	if fail := s.fail.Load(); fail != nil {
		return nil, *fail
	}
	id, err := s.Store.Find(ctx, d)
	if hold := s.hold.Load(); hold != nil {
		(*hold)()
	}
	return id, err
}

// FindMany counts as one.
func (s *heldStore) FindMany(ctx context.Context, ds []keys.Digest) ([]*keys.Identity, error) {
	s.finds.Add(1)
	if fail := s.fail.Load(); fail != nil {
		return nil, *fail
	}
	ids, err := s.Store.FindMany(ctx, ds)
	if hold := s.hold.Load(); hold != nil {
		(*hold)()
	}
	return ids, err
}

func (s *heldStore) failWith(err error) {
	if err == nil {
		s.fail.Store(nil)
		return
	}
	s.fail.Store(&err)
}

// bench is a store and a Lookup over it, joined as in the product: each
// commit is applied before it is acknowledged.
type bench struct {
	store  *heldStore
	lookup *Lookup
	deaf   *atomic.Bool // commits are not applied
}

var testOptions = LookupOptions{
	MaxKeys: 1000, TTL: time.Minute, UnknownTTL: 10 * time.Second, StaleIfError: 5 * time.Minute, UnknownRate: 500,
}

func newBench(t testing.TB, o LookupOptions) *bench {
	t.Helper()
	var apply atomic.Pointer[Lookup]
	deaf := new(atomic.Bool)
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), keys.Options{OnCommit: func(c keys.Change) {
		if l := apply.Load(); l != nil && !deaf.Load() {
			l.Apply(c)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	held := &heldStore{Store: store}
	lookup, err := NewLookup(held, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := lookup.Prime(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply.Store(lookup)
	t.Cleanup(func() {
		lookup.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{held, lookup, deaf}
}

var by = keys.By{Actor: "key_tester", At: time.Now()}

// create stores an enabled key that may do everything; edit changes it first.
func (b *bench) create(t testing.TB, edit func(*keys.Key)) (keys.Key, keys.Secret) {
	t.Helper()
	secret, err := keys.NewSecret("kw", nil)
	if err != nil {
		t.Fatal(err)
	}
	key := keys.Key{
		ID: keys.NewID(), Name: "test", Owner: "team-7", Prefix: secret.Prefix(), Enabled: true,
		Permissions: permission.Set{Mode: permission.All}, CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}
	if edit != nil {
		edit(&key)
	}
	if err := b.store.Create(t.Context(), by, "create", []keys.New{{Key: key, Digest: secret.Digest()}}); err != nil {
		t.Fatal(err)
	}
	return key, secret
}

func (b *bench) find(t testing.TB, secret keys.Secret, now time.Time) (*keys.Identity, Found) {
	t.Helper()
	id, found, err := b.lookup.Find(t.Context(), new(secret.Digest()), now)
	if err != nil {
		t.Fatal(err)
	}
	return id, found
}
