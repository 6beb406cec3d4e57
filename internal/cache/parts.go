package cache

import (
	"encoding/binary"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// parts are several ristretto caches that are one. A ristretto cache keeps its
// entries in 256 maps, and their costs in another. Go's maps grow by splitting
// tables of 1024 slots when 896 are taken, so the maps of a single cache of a
// million are less than half full, at 155 bytes an entry. In parts of the right
// size it is 108.
type parts[V any] []*ristretto.Cache[uint64, V]

const (
	// fullPart gives each of the 256 maps 800 entries, and so each of the 256
	// tables of the map of costs: by chance few of them reach 896. With half or
	// a quarter as many, tables of half or a quarter the size are as full.
	fullPart = 256 * 800
	// Entries don't spread quite evenly: a part has room for this share more,
	// so that as many as were asked for find room.
	slack = 90
	// counters are for how often keys are asked for, an entry. Ristretto advises
	// 10: of twice as many keys as there is room for, used as unevenly as words
	// are, that finds 93.3 %; 4 find 92.6, and 2 find 92.1 and take 8 bytes less
	// than 4, and 34 less than 10.
	counters = 2
)

// partsFor returns how many parts are good for size entries.
func partsFor(size int64) int64 {
	for _, each := range []int64{fullPart, fullPart / 2, fullPart / 4} {
		n := (size + each - 1) / each
		if size/n > each*9/10 {
			return n
		}
	}
	return (size + fullPart/4 - 1) / (fullPart / 4)
}

// newParts returns a cache for size entries.
func newParts[V any](size int64) (parts[V], error) {
	p := make(parts[V], partsFor(size))
	share := p.share(size)
	for i := range p {
		part, err := ristretto.NewCache(&ristretto.Config[uint64, V]{
			NumCounters: counters * share,
			MaxCost:     share,
			// Hits are counted in batches, each of which wakes a goroutine: with
			// ristretto's usual 64 that was a fifth of a decision's CPU time.
			BufferItems:        512,
			IgnoreInternalCost: true, // cost counts entries, not bytes
			KeyToHash:          func(key uint64) (hash, conflict uint64) { return key, 0 },
		})
		if err != nil {
			p[:i].close()
			return nil, err
		}
		p[i] = part
	}
	return p, nil
}

// share is how many of size entries each part has room for.
func (p parts[V]) share(size int64) int64 {
	if len(p) <= 1 {
		return size
	}
	share := size/int64(len(p)) + 1
	return share + share/slack
}

// of returns the part that an entry belongs to. It goes by other bytes than
// hash, by which the part's maps are chosen.
func (p parts[V]) of(d *keys.Digest) *ristretto.Cache[uint64, V] {
	return p[binary.LittleEndian.Uint32(d[8:])%uint32(len(p))] //nolint:gosec // G115: a few parts
}

// hash gives ristretto a digest's first 8 bytes: SHA-256 is evenly spread.
func hash(d *keys.Digest) uint64 { return binary.LittleEndian.Uint64(d[:8]) }

func (p parts[V]) get(d *keys.Digest) (V, bool) { return p.of(d).Get(hash(d)) }

func (p parts[V]) set(d *keys.Digest, v V) { p.of(d).Set(hash(d), v, 1) }

func (p parts[V]) del(d *keys.Digest) { p.of(d).Del(hash(d)) }

func (p parts[V]) resize(size int64) {
	for _, part := range p {
		part.UpdateMaxCost(p.share(size))
	}
}

// wait returns when ristretto has worked off what was queued before.
func (p parts[V]) wait() {
	for _, part := range p {
		part.Wait()
	}
}

func (p parts[V]) close() {
	for _, part := range p {
		part.Close()
	}
}
