// Package cache remembers, in bounded memory, who secrets belong to and which
// secrets are unknown. It remembers keys, never decisions: what a key may do
// is judged anew for each request. It does not ask the store.
package cache

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// Entry is what is remembered of one secret. Identity is nil for a secret
// that the store does not know.
type Entry struct {
	Identity *keys.Identity
	// CheckedAt is when the store was asked, by the clock that Put was given.
	CheckedAt time.Duration

	digest     keys.Digest
	generation uint64
	refreshing atomic.Bool
}

// StartRefresh reports true to the one caller that should ask the store
// again for this entry before it is too old.
func (e *Entry) StartRefresh() bool { return e.refreshing.CompareAndSwap(false, true) }

// RefreshFailed lets a later caller try again.
func (e *Entry) RefreshFailed() { e.refreshing.Store(false) }

// Cache wraps two ristretto caches: one of keys, one of unknown secrets, so
// that a flood of false secrets can't push keys out.
//
// ristretto applies a Set later and may drop it, which is fine for a cache,
// but a deletion must hold at once: Invalidate therefore waits until ristretto
// has worked off what was queued before it. Ristretto knows an entry by 64
// bits; a hit is compared with the whole digest.
type Cache struct {
	known   *ristretto.Cache[uint64, *Entry]
	unknown *ristretto.Cache[uint64, *Entry]
	// generation is raised by Reset: entries of an earlier one are dead.
	// ristretto's own Clear is not safe under traffic.
	generation atomic.Uint64
	stripes    [256]stripe
}

// stripe holds the epoch of 1/256 of all digests, by their last byte: a change
// to one key must not keep look-ups of all the others from being cached.
type stripe struct {
	sync.Mutex
	epoch uint64
}

// Ticket says since when a look-up has been under way. Put refuses it if the
// secret was invalidated since: the store may have answered from before.
type Ticket struct {
	digest     keys.Digest
	epoch      uint64
	generation uint64
}

// New returns a cache for up to maxKeys keys; maxUnknown bounds how many
// unknown secrets are remembered.
func New(maxKeys, maxUnknown int64) (*Cache, error) {
	known, err := newRistretto(maxKeys)
	if err != nil {
		return nil, fmt.Errorf("making the key cache: %w", err)
	}
	unknown, err := newRistretto(maxUnknown)
	if err != nil {
		known.Close()
		return nil, fmt.Errorf("making the cache of unknown secrets: %w", err)
	}
	return &Cache{known: known, unknown: unknown}, nil
}

func newRistretto(size int64) (*ristretto.Cache[uint64, *Entry], error) {
	return ristretto.NewCache(&ristretto.Config[uint64, *Entry]{
		NumCounters: 10 * size, // ristretto's own advice
		MaxCost:     size,
		// Hits are counted in batches, each of which wakes a goroutine: with
		// ristretto's usual 64 that was a fifth of a decision's CPU time.
		BufferItems:        512,
		IgnoreInternalCost: true, // cost counts entries, not bytes
		KeyToHash:          func(key uint64) (hash, conflict uint64) { return key, 0 },
	})
}

// hash gives ristretto a digest's first 8 bytes: SHA-256 is evenly spread.
func hash(d *keys.Digest) uint64 { return binary.LittleEndian.Uint64(d[:8]) }

// Get returns what is remembered of a secret, or nil. It takes no lock of
// ours and does not allocate. How old an entry may be is the caller's to judge.
func (c *Cache) Get(d *keys.Digest) *Entry {
	if e := c.live(c.known, d); e != nil {
		return e
	}
	return c.live(c.unknown, d)
}

func (c *Cache) live(in *ristretto.Cache[uint64, *Entry], d *keys.Digest) *Entry {
	e, ok := in.Get(hash(d))
	if !ok || e == nil || e.generation != c.generation.Load() {
		return nil
	}
	if !e.digest.Is(d) {
		return nil
	}
	return e
}

// Ticket must be taken before the store is asked.
func (c *Cache) Ticket(d *keys.Digest) Ticket {
	s := c.stripe(d)
	s.Lock()
	defer s.Unlock()
	return Ticket{digest: *d, epoch: s.epoch, generation: c.generation.Load()}
}

// Tickets are the tickets of all secrets together.
type Tickets struct {
	epochs     [256]uint64
	generation uint64
}

// Tickets must be taken before the store is asked for secrets that are not
// known yet.
func (c *Cache) Tickets() *Tickets {
	t := &Tickets{generation: c.generation.Load()}
	for i := range c.stripes {
		c.stripes[i].Lock()
		t.epochs[i] = c.stripes[i].epoch
		c.stripes[i].Unlock()
	}
	return t
}

// Of returns the ticket of one secret.
func (t *Tickets) Of(d *keys.Digest) Ticket {
	return Ticket{digest: *d, epoch: t.epochs[d[len(d)-1]], generation: t.generation}
}

// Put remembers the store's answer (nil: unknown), unless the secret was
// invalidated after the ticket was taken; then it reports false, and the
// answer may be out of date.
func (c *Cache) Put(t Ticket, id *keys.Identity, checkedAt time.Duration) bool {
	s := c.stripe(&t.digest)
	s.Lock()
	defer s.Unlock()
	if s.epoch != t.epoch || c.generation.Load() != t.generation {
		return false
	}
	e := &Entry{Identity: id, CheckedAt: checkedAt, digest: t.digest, generation: t.generation}
	if id == nil {
		// The key may just have gone with no change seen, as when the feed is cut.
		c.known.Del(hash(&t.digest))
		c.unknown.Set(hash(&t.digest), e, 1)
		return true
	}
	// ristretto may drop the Set: an old "unknown" must not show through.
	c.unknown.Del(hash(&t.digest))
	c.known.Set(hash(&t.digest), e, 1)
	return true
}

// Invalidate forgets secrets. When it returns, no earlier answer about them
// is in the cache, and none will come into it.
func (c *Cache) Invalidate(digests []keys.Digest) {
	for i := range digests {
		d := &digests[i]
		s := c.stripe(d)
		s.Lock()
		s.epoch++
		c.known.Del(hash(d))
		c.unknown.Del(hash(d))
		s.Unlock()
	}
	c.Wait()
}

// Reset forgets everything.
func (c *Cache) Reset() {
	c.generation.Add(1)
	for i := range c.stripes {
		c.stripes[i].Lock()
		c.stripes[i].epoch++
		c.stripes[i].Unlock()
	}
}

// Resize changes how many keys are kept.
func (c *Cache) Resize(maxKeys int64) { c.known.UpdateMaxCost(maxKeys) }

// Wait returns when ristretto has worked off what was queued before.
func (c *Cache) Wait() {
	c.known.Wait()
	c.unknown.Wait()
}

// Close frees the memory. Nothing may use the cache any more.
func (c *Cache) Close() {
	c.known.Close()
	c.unknown.Close()
}

// stripe goes by the last byte, as ristretto shards by the first ones.
func (c *Cache) stripe(d *keys.Digest) *stripe { return &c.stripes[d[len(d)-1]] }
