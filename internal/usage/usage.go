// Package usage remembers when keys were used, and writes it down in batches,
// never on the request path. A crash loses at most what was used since the
// last flush.
package usage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// FlushInterval keeps last_used_at right within the contract's 30 s, with
// time for a slow store.
const FlushInterval = 10 * time.Second

// resolution is how exact last_used_at is. A key that is used more often than
// this costs one comparison a request.
const resolution = time.Second

// Store is what is needed of a keys.Store.
type Store interface {
	Touch(ctx context.Context, used map[keys.ID]time.Time) error
}

// Recorder collects uses.
type Recorder struct {
	store   Store
	mu      sync.Mutex
	pending []*keys.Identity
	// unwritten are uses that the store refused; they wait for the next flush.
	unwritten map[keys.ID]time.Time
}

// New returns a Recorder that writes to store.
func New(store Store) *Recorder {
	return &Recorder{store: store, unwritten: map[keys.ID]time.Time{}}
}

// Mark says that id was used now. It does not allocate, and locks only for
// the first use since the last flush.
func (r *Recorder) Mark(id *keys.Identity, now time.Time) {
	milli := now.UnixMilli()
	for {
		last := id.Use.At.Load()
		if milli-last < resolution.Milliseconds() {
			return
		}
		if id.Use.At.CompareAndSwap(last, milli) { // never back to an earlier time
			break
		}
	}
	// After At: a flush that clears Queued reads At afterwards.
	if id.Use.Queued.CompareAndSwap(false, true) {
		r.mu.Lock()
		r.pending = append(r.pending, id)
		r.mu.Unlock()
	}
}

// Run flushes until ctx ends, and once more then. It returns what kept the
// last flush from being written; onError hears of each failed one.
func (r *Recorder) Run(ctx context.Context, onError func(error)) error {
	tick := time.NewTicker(FlushInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := r.Flush(ctx); err != nil && !errors.Is(err, context.Canceled) {
				onError(err)
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return r.Flush(last)
		}
	}
}

// Flush writes down what was marked so far. What can't be written stays for
// the next flush; it is one time for each key, so memory stays bounded by the
// number of keys in use.
func (r *Recorder) Flush(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range r.pending {
		id.Use.Queued.Store(false)
		at := time.UnixMilli(id.Use.At.Load())
		if at.After(r.unwritten[id.ID]) {
			r.unwritten[id.ID] = at
		}
	}
	clear(r.pending)
	r.pending = r.pending[:0]
	if len(r.unwritten) == 0 {
		return nil
	}
	if err := r.store.Touch(ctx, r.unwritten); err != nil {
		return fmt.Errorf("writing down when %d keys were used: %w", len(r.unwritten), err)
	}
	clear(r.unwritten)
	return nil
}
