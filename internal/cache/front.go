package cache

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// front holds what was put last, in a flat table in which each secret has one
// place, and others the same: whoever was put last has it. What is found there
// takes two loads from memory where ristretto's maps take seven, and of ten
// thousand keys in use none of it is in the processor's caches.
//
// What stands in the front must never be older than what ristretto has: both
// are written under the lock of the secret's stripe.
type front []atomic.Pointer[keys.Identity]

// mostFront bounds the table: 1 MiB.
const mostFront = 1 << 17

// newFront returns a front of a cache for size keys.
func newFront(size int64) front {
	places := 1
	for int64(2*places) <= min(size, mostFront) {
		places *= 2
	}
	return make(front, places)
}

// place goes by other bytes than ristretto's hash and its parts.
func (f front) place(d *keys.Digest) *atomic.Pointer[keys.Identity] {
	return &f[binary.LittleEndian.Uint64(d[16:])&uint64(len(f)-1)] //nolint:gosec // G115: it is a power of two
}

// get returns the Identity of a secret, nil where another one has its place.
func (f front) get(d *keys.Digest) *keys.Identity {
	if id := f.place(d).Load(); id != nil && id.Digest.Is(d) {
		return id
	}
	return nil
}

func (f front) set(d *keys.Digest, id *keys.Identity) { f.place(d).Store(id) }

// del forgets a secret. Another one that takes the place meanwhile has it.
func (f front) del(d *keys.Digest) {
	if id := f.get(d); id != nil {
		f.place(d).CompareAndSwap(id, nil)
	}
}
