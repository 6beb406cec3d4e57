// Package cache remembers, in bounded memory, who secrets belong to and which
// secrets are unknown. It remembers keys, never decisions: what a key may do
// is judged anew for each request. It does not ask the store.
package cache

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// Entry is what is remembered of one secret. Identity is nil for a secret
// that the store does not know.
type Entry struct {
	Identity *keys.Identity
	// CheckedAt is when the store was asked, by the clock that Put was given.
	CheckedAt time.Duration
}

// StartRefresh reports true to the one caller that should ask the store
// again for this entry, of a known secret, before it is too old.
func (e Entry) StartRefresh() bool { return e.Identity.StartRefresh() }

// EndRefresh lets a later caller ask again.
func (e Entry) EndRefresh() { e.Identity.EndRefresh() }

// unknown is a secret that the store does not know.
type unknown struct {
	digest     keys.Digest
	checkedAt  time.Duration
	generation uint32
}

// Cache is made of two caches of ristretto's: one of keys, one of unknown secrets, so
// that a flood of false secrets can't push keys out. Before that of keys stands a
// front, for those that were put lately.
//
// ristretto applies a Set later and may drop it, which is fine for a cache,
// but a deletion must hold at once: Invalidate therefore waits until ristretto
// has worked off what was queued before it. Ristretto knows an entry by 64
// bits; a hit is compared with the whole digest.
type Cache struct {
	front   front
	known   parts[*keys.Identity]
	unknown parts[*unknown]
	// generation is raised by Reset: entries of an earlier one are dead.
	// ristretto's own Clear is not safe under traffic.
	generation atomic.Uint32
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
	generation uint32
}

// New returns a cache for up to maxKeys keys; maxUnknown bounds how many
// unknown secrets are remembered.
func New(maxKeys, maxUnknown int64) (*Cache, error) {
	known, err := newParts[*keys.Identity](maxKeys)
	if err != nil {
		return nil, fmt.Errorf("making the key cache: %w", err)
	}
	unknown, err := newParts[*unknown](maxUnknown)
	if err != nil {
		known.close()
		return nil, fmt.Errorf("making the cache of unknown secrets: %w", err)
	}
	return &Cache{front: newFront(maxKeys), known: known, unknown: unknown}, nil
}

// Get returns what is remembered of a secret, if anything is. It takes no lock
// of ours and does not allocate. How old an entry may be is the caller's to
// judge.
func (c *Cache) Get(d *keys.Digest) (Entry, bool) {
	generation := c.generation.Load()
	id := c.front.get(d)
	if id == nil {
		if id, _ = c.known.get(d); id != nil && !id.Digest.Is(d) {
			id = nil
		}
	}
	if id != nil {
		if stamp := id.Stamp.Load(); sameGeneration(stamp, generation) {
			return Entry{id, stampedAt(stamp)}, true
		}
	}
	if u, ok := c.unknown.get(d); ok && u != nil && u.generation == generation && u.digest.Is(d) {
		return Entry{nil, u.checkedAt}, true
	}
	return Entry{}, false
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
	generation uint32
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
// answer may be out of date. An Identity is put once, by who has made it. Where
// one that says the same is remembered, that one stays, and is as fresh.
func (c *Cache) Put(t Ticket, id *keys.Identity, checkedAt time.Duration) bool {
	s := c.stripe(&t.digest)
	s.Lock()
	defer s.Unlock()
	if s.epoch != t.epoch || c.generation.Load() != t.generation {
		return false
	}
	if id == nil {
		// The key may just have gone with no change seen, as when the feed is cut.
		c.forget(&t.digest)
		c.unknown.set(&t.digest, &unknown{t.digest, checkedAt, t.generation})
		return true
	}
	// ristretto may drop the Set: an old "unknown" must not show through.
	c.unknown.del(&t.digest)
	c.keep(&t, id, checkedAt)
	return true
}

// Fill is Put for a key that was read beside requests, with many others, while
// changes are heard of. Had its secret been unknown a moment ago, the key's
// creation would have invalidated the ticket; so that what is remembered of it
// as unknown, if anything, need not be looked for among what is still queued.
func (c *Cache) Fill(t Ticket, id *keys.Identity, checkedAt time.Duration) bool {
	s := c.stripe(&t.digest)
	s.Lock()
	defer s.Unlock()
	if s.epoch != t.epoch || c.generation.Load() != t.generation {
		return false
	}
	if _, ok := c.unknown.get(&t.digest); ok {
		c.unknown.del(&t.digest)
	}
	c.keep(&t, id, checkedAt)
	return true
}

// keep leaves an Identity where it is as long as nothing changes: how its key is
// used is counted with it, and the collector has nothing to take away.
func (c *Cache) keep(t *Ticket, id *keys.Identity, checkedAt time.Duration) {
	id.Digest = t.digest
	old, _ := c.known.get(&t.digest)
	if old != nil && old.Same(id) {
		id = old
	}
	id.Stamp.Store(stamp(checkedAt, t.generation))
	id.EndRefresh()
	if id != old {
		c.known.set(&t.digest, id)
	}
	c.front.set(&t.digest, id)
}

// forget forgets a key.
func (c *Cache) forget(d *keys.Digest) {
	c.front.del(d)
	c.known.del(d)
}

// Invalidate forgets secrets. When it returns, no earlier answer about them
// is in the cache, and none will come into it.
func (c *Cache) Invalidate(digests []keys.Digest) {
	for i := range digests {
		d := &digests[i]
		s := c.stripe(d)
		s.Lock()
		s.epoch++
		c.forget(d)
		c.unknown.del(d)
		s.Unlock()
	}
	if len(digests) == 1 {
		c.WaitFor(&digests[0])
		return
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
func (c *Cache) Resize(maxKeys int64) { c.known.resize(maxKeys) }

// Wait returns when ristretto has worked off what was queued before.
func (c *Cache) Wait() {
	c.known.wait()
	c.unknown.wait()
}

// WaitFor is Wait for what concerns one secret.
func (c *Cache) WaitFor(d *keys.Digest) {
	c.known.of(d).Wait()
	c.unknown.of(d).Wait()
}

// Close frees the memory. Nothing may use the cache any more.
func (c *Cache) Close() {
	c.known.close()
	c.unknown.close()
}

// stripe goes by the last byte, as ristretto shards by the first ones.
func (c *Cache) stripe(d *keys.Digest) *stripe { return &c.stripes[d[len(d)-1]] }
