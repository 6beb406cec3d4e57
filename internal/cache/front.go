package cache

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// front holds what was put last, in a flat table in which each secret has two
// places beside each other, and others the same: where they are taken, whoever
// is put has the one that it prefers. What is found there takes two loads from
// memory where ristretto's maps take seven, and of ten thousand keys in use none
// of it is in the processor's caches. With one place each, 7 % of them had to
// look further; with two it is 1.3 %.
//
// What stands in the front must never be older than what ristretto has: both
// are written under the lock of the secret's stripe.
type front []pair

// mostFront bounds the table: 1 MiB.
const mostFront = 1 << 17

// newFront returns a front of a cache for size keys.
func newFront(size int64) front {
	pairs := 1
	for int64(4*pairs) <= min(size, mostFront) {
		pairs *= 2
	}
	return make(front, pairs)
}

// pair is two places in one line of the processor's caches.
type pair [2]atomic.Pointer[keys.Identity]

// pair goes by other bytes than ristretto's hash and its parts.
func (f front) pair(d *keys.Digest) *pair {
	return &f[binary.LittleEndian.Uint64(d[16:])&uint64(len(f)-1)] //nolint:gosec // G115: it is a power of two
}

// get returns the Identity of a secret, nil where others have its places.
func (f front) get(d *keys.Digest) *keys.Identity {
	_, id := f.pair(d).find(d)
	return id
}

// find returns where a secret stands, nil for nowhere.
func (p *pair) find(d *keys.Digest) (*atomic.Pointer[keys.Identity], *keys.Identity) {
	if id := p[0].Load(); id != nil && id.Digest.Is(d) {
		return &p[0], id
	}
	if id := p[1].Load(); id != nil && id.Digest.Is(d) {
		return &p[1], id
	}
	return nil, nil
}

// set puts id where the secret stands, or else where there is room: no secret
// may stand in both places, nor be moved, for only who holds the lock of its
// stripe may put it anywhere.
func (f front) set(d *keys.Digest, id *keys.Identity) {
	p := f.pair(d)
	if place, _ := p.find(d); place != nil {
		place.Store(id)
		return
	}
	prefers := d[15] & 1
	if !p[prefers].CompareAndSwap(nil, id) && !p[1-prefers].CompareAndSwap(nil, id) {
		p[prefers].Store(id)
	}
}

// del forgets a secret. Another one that takes the place meanwhile has it.
func (f front) del(d *keys.Digest) {
	if place, id := f.pair(d).find(d); place != nil {
		place.CompareAndSwap(id, nil)
	}
}
