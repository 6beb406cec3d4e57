// Package storetest is the suite that every store of keys passes: it proves
// what keys.Store promises, over a real database, and knows no engine.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// Opener opens the database of one test: the first call makes it, further
// calls open it again, beside the first or after it was closed. The test
// closes what it opens; closing twice must do no harm.
type Opener func(t testing.TB, o keys.Options) keys.Store

// Run runs the suite. fresh returns the opener of a new, empty database.
func Run(t *testing.T, fresh func(t *testing.T) Opener) {
	for _, group := range []struct {
		name  string
		tests map[string]func(*suite)
	}{
		{"Find", findTests},
		{"Create", createTests},
		{"Update", updateTests},
		{"Rotate", rotateTests},
		{"Delete", deleteTests},
		{"Leaked", leakTests},
		{"LastAdmin", lastAdminTests},
		{"List", listTests},
		{"Search", searchTests},
		{"Filters", filterTests},
		{"Audit", auditTests},
		{"Endpoints", endpointTests},
		{"Touch", touchTests},
		{"Usage", usageTests},
		{"Unused", unusedTests},
		{"Sorted", sortedTests},
		{"Feed", feedTests},
		{"Counts", countTests},
		{"Nodes", nodeTests},
		{"Webhooks", webhookTests},
		{"Concurrency", concurrencyTests},
		{"Faults", faultTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for name, test := range group.tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(newSuite(t, fresh(t)))
				})
			}
		})
	}
}

// suite is one test and its store.
type suite struct {
	*testing.T
	keys.Store
	open Opener
	told *told
}

func newSuite(t *testing.T, open Opener) *suite {
	s := &suite{T: t, open: open, told: &told{}}
	s.Store = s.handle(keys.Options{OnCommit: s.told.add})
	return s
}

// handle opens the test's database once more.
func (s *suite) handle(o keys.Options) keys.Store {
	s.Helper()
	store := s.open(s.T, o)
	s.Cleanup(func() { _ = store.Close() }) // the test may have closed it
	return store
}

// reopen closes the store and opens its database again.
func (s *suite) reopen() {
	s.Helper()
	s.must(s.Close())
	s.Store = s.handle(keys.Options{OnCommit: s.told.add})
}

// told collects what OnCommit was told.
type told struct {
	mu      sync.Mutex
	changes []keys.Change
}

func (t *told) add(c keys.Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes = append(t.changes, c)
}

func (t *told) all() []keys.Change {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.changes)
}

// start is when tests take place. It has milliseconds, which stores keep.
var start = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

// by is who makes the changes of tests.
func by(at time.Time) keys.By { return keys.By{Actor: "key_admin", IP: "192.0.2.1", At: at} }

var digestsMade atomic.Uint64

// newDigest returns a digest that nothing else has.
func newDigest() keys.Digest {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, digestsMade.Add(1)))
}

// newKey returns a key to be created, changed by edits.
func newKey(name string, edits ...func(*keys.Key)) keys.New {
	k := keys.New{Digest: newDigest(), Key: keys.Key{
		ID: keys.NewID(), Name: name, Prefix: "kw_" + name, Permissions: permission.Set{Mode: permission.All},
		Enabled: true, CreatedAt: start, UpdatedAt: start, CreatedBy: "key_admin",
	}}
	for _, edit := range edits {
		edit(&k.Key)
	}
	return k
}

func admin(k *keys.Key)    { k.Admin = permission.Write }
func disabled(k *keys.Key) { k.Enabled = false }

func owner(name string) func(*keys.Key) { return func(k *keys.Key) { k.Owner = name } }

func expires(at time.Time) func(*keys.Key) { return func(k *keys.Key) { k.ExpiresAt = at } }

func restricted(t testing.TB, grants ...permission.Grant) func(*keys.Key) {
	t.Helper()
	set, err := permission.NewRestricted(grants...)
	if err != nil {
		t.Fatal(err)
	}
	return func(k *keys.Key) { k.Permissions = set }
}

// create stores keys, in their order.
func (s *suite) create(ks ...keys.New) {
	s.Helper()
	s.must(s.Create(s.Context(), by(start), "create", ks))
}

// created stores one key and returns it.
func (s *suite) created(name string, edits ...func(*keys.Key)) keys.New {
	s.Helper()
	k := newKey(name, edits...)
	s.create(k)
	return k
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) mustBe(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("error %v, want %v", err, want)
	}
}

// get returns the key with this id at start.
func (s *suite) get(id keys.ID) *keys.Key {
	s.Helper()
	k, err := s.Get(s.Context(), id, start)
	s.must(err)
	return k
}

// list returns a page of all names that the query selects.
func (s *suite) list(q keys.Query) []string {
	s.Helper()
	if q.Now.IsZero() {
		q.Now = start
	}
	page, next, err := s.List(s.Context(), q)
	s.must(err)
	if next != "" && q.Limit == 0 {
		s.Fatal("a next page")
	}
	return names(page)
}

func names(ks []*keys.Key) []string {
	out := make([]string, 0, len(ks))
	for _, k := range ks {
		out = append(out, k.Name)
	}
	return out
}

// Identities lets cmp compare identities, but for what belongs to the cache.
var Identities = cmp.Transformer("Identity", func(i *keys.Identity) *identity {
	if i == nil {
		return nil
	}
	return &identity{i.Digest, i.Names(), *i.Rights, i.ExpiresAt}
})

type identity struct {
	Digest    keys.Digest
	Names     keys.Names
	Rights    keys.Rights
	ExpiresAt int64
}

// equal compares; empty and nil are the same.
func (s *suite) equal(what string, got, want any) {
	s.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), Identities); diff != "" {
		s.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// state is all that a store shows, to find out whether something changed.
type state struct {
	Keys      []*keys.Key
	Audit     []keys.AuditEntry
	Endpoints []keys.Endpoint
	Digests   []keys.Digest
	Seq       keys.Seq
}

func (s *suite) state() state {
	s.Helper()
	var (
		all state
		err error
		ctx = context.WithoutCancel(s.Context())
	)
	all.Keys, _, err = s.List(ctx, keys.Query{Now: start, Limit: 200})
	s.must(err)
	all.Audit, _, err = s.Audit(ctx, keys.AuditQuery{Limit: 200})
	s.must(err)
	all.Endpoints, err = s.Endpoints(ctx)
	s.must(err)
	s.must(s.Digests(ctx, func(d keys.Digest) bool { all.Digests = append(all.Digests, d); return true }))
	slices.SortFunc(all.Digests, func(a, b keys.Digest) int { return slices.Compare(a[:], b[:]) })
	all.Seq, err = s.LastSeq(ctx)
	s.must(err)
	return all
}

// unchanged fails if do changes what the store shows, or tells OnCommit.
func (s *suite) unchanged(do func()) {
	s.Helper()
	before, heard := s.state(), len(s.told.all())
	do()
	s.equal("the store changed", s.state(), before)
	if got := len(s.told.all()); got != heard {
		s.Fatalf("OnCommit was called %d times", got-heard)
	}
}
