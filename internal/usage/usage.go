// Package usage counts how keys are used, and remembers when they were used
// last. It writes both down in batches, never on the request path. A crash
// loses at most what was counted since the last flush.
package usage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// FlushInterval keeps last_used_at right within the contract's 30 s, with
// time for a slow store. Flushes begin with the minute, so that what was
// counted before is the last minute's. Not every flush writes all: see turn.
const FlushInterval = 10 * time.Second

// DefaultKeep is how long usage is kept if nobody says.
const DefaultKeep = 90 * 24 * time.Hour

// Store is what is needed of a keys.Store.
type Store interface {
	Touch(ctx context.Context, used map[keys.ID]time.Time) error
	AddUsage(ctx context.Context, b keys.UsageBatch) error
	PruneUsage(ctx context.Context, keep keys.UsageKeep, now time.Time, every time.Duration) error
}

// Recorder collects uses.
type Recorder struct {
	store Store
	limits
	// keep is how long usage is kept, in nanoseconds; 0: none is counted.
	keep atomic.Int64
	// apart is how many things are told apart, those that have no room of their
	// own on their keys.
	apart  atomic.Int64
	things *things

	mu      sync.Mutex
	pending []*keys.Identity // at which the next flush looks
	former  []keys.Used      // what was counted in a minute that is over

	// What follows belongs to the flush that is under way: one at a time.
	flushing sync.Mutex
	// unwritten are uses that the store refused; they wait for the next flush.
	unwritten     map[keys.ID]time.Time
	waiting       waiting
	touches, adds turn
	retired       []retired
	pruned        time.Time // when this node last tried to
	idle          bool      // nothing was counted since
}

// New returns a Recorder that writes to store.
func New(store Store) *Recorder {
	now := time.Now()
	r := &Recorder{
		store: store, limits: defaultLimits, unwritten: map[keys.ID]time.Time{}, things: newThings(),
		waiting: waiting{writer: "usage_" + uuid.NewString(), counts: map[place]count{}},
		touches: newTurn(touchInterval, now), adds: newTurn(addInterval, now),
	}
	r.keep.Store(int64(DefaultKeep))
	return r
}

// Configure says how long usage is kept; 0: from now on none is counted.
func (r *Recorder) Configure(keep time.Duration) { r.keep.Store(int64(keep)) }

// Keep returns how long usage is kept; 0: none is counted.
func (r *Recorder) Keep() time.Duration { return time.Duration(r.keep.Load()) }

// Mark says that id was used now, for nothing that is counted. It does not
// allocate, and locks only for the first use since the last flush.
func (r *Recorder) Mark(id *keys.Identity, now time.Time) { r.use(id, now.UnixMilli(), 0) }

// Count counts a request of id, and that it was used now if it was allowed. It
// does not allocate for what was counted since the last flush already.
func (r *Recorder) Count(id *keys.Identity, what keys.What, now time.Time) {
	milli, counts := now.UnixMilli(), r.keep.Load() > 0
	if what.Outcome == keys.OutcomeAllowed {
		thing := keys.Thing(0)
		if counts {
			thing = r.things.on(id, what)
		}
		if r.use(id, milli, thing) {
			return
		}
	}
	if counts {
		r.tally(id, what, 1, milli)
		r.queue(id)
	}
}

// use notes a use, and reports whether it was counted with its key.
func (r *Recorder) use(id *keys.Identity, milli int64, thing keys.Thing) (counted bool) {
	u := id.Use(milli, thing)
	if u.Over.N > 0 {
		r.tally(id, r.things.what(u.Over.Thing), u.Over.N, u.Over.Last)
	}
	if u.Counted || u.Noted {
		r.queue(id)
	}
	return u.Counted
}

// tally counts n in the key's tally.
func (r *Recorder) tally(id *keys.Identity, what keys.What, n, milli int64) {
	c := r.tallied(id, what)
	// The time first: what is counted has one.
	if before := mark(&c.Last, milli); before != 0 && before/minute != milli/minute {
		r.closeMinute(id, c, before)
	}
	c.N.Add(n)
}

// minute is one in milliseconds.
const minute = 1000 * int64(keys.Minute)

// mark moves the time of a count forward, and returns what it was.
func mark(at *atomic.Int64, milli int64) int64 {
	for {
		last := at.Load()
		if milli <= last || at.CompareAndSwap(last, milli) { // never back to an earlier time
			return last
		}
	}
}

// closeMinute puts aside what was counted until last, in a minute that is over
// and that no flush has looked at since. Where no flush has for long, because
// the store hangs, there may be no room: it then counts in this minute.
func (r *Recorder) closeMinute(id *keys.Identity, c *keys.Tallied, last int64) {
	n := c.N.Swap(0)
	if n == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.former) >= r.limits.waiting/2 {
		c.N.Add(n)
		return
	}
	r.former = append(r.former, keys.Used{Key: id.ID(), What: c.What, N: n, LastAt: time.UnixMilli(last)})
}

// queue makes the next flush look at id. It comes after what it is about: a
// flush that takes id from the queue looks afterwards.
func (r *Recorder) queue(id *keys.Identity) {
	if id.Queue() {
		r.mu.Lock()
		r.pending = append(r.pending, id)
		r.mu.Unlock()
	}
}

// tallied returns the count of what id does.
func (r *Recorder) tallied(id *keys.Identity, what keys.What) *keys.Tallied {
	t := id.Tally.Load()
	for t == nil {
		id.Tally.CompareAndSwap(nil, new(keys.Tally))
		t = id.Tally.Load()
	}
	if c := find(t, what); c != nil {
		return c
	}
	return r.add(t, what)
}

// Run flushes until ctx ends, and once more then. It returns what kept the
// last flush from being written; onError hears of each failed one.
func (r *Recorder) Run(ctx context.Context, onError func(error)) error {
	for {
		timer := time.NewTimer(untilFlush(time.Now()))
		select {
		case <-timer.C:
			now := time.Now()
			if err := errors.Join(r.flush(ctx, now, false), r.prune(ctx, now)); err != nil && ctx.Err() == nil {
				onError(err)
			}
		case <-ctx.Done():
			timer.Stop()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return r.Flush(last)
		}
	}
}

func untilFlush(now time.Time) time.Duration {
	return now.Truncate(FlushInterval).Add(FlushInterval).Sub(now)
}

// Flush writes down what was marked and counted so far. What can't be written
// stays for the next flush, within bounds.
func (r *Recorder) Flush(ctx context.Context) error { return r.flush(ctx, time.Now(), true) }

// flush is Flush, or writes what is due only.
func (r *Recorder) flush(ctx context.Context, now time.Time, all bool) error {
	r.flushing.Lock()
	defer r.flushing.Unlock()
	touching, adding := r.due(now)
	switch {
	case all || adding:
		r.collect(now)
	case touching:
		r.keepLasts()
	}
	if all || touching {
		if err := r.touch(ctx); err != nil {
			return fmt.Errorf("writing down when %d keys were used: %w", len(r.unwritten), err)
		}
		r.touches.taken(now)
	}
	if all || adding {
		if err := r.waiting.write(ctx, r.store, r.batch); err != nil {
			return fmt.Errorf("writing down how keys were used: %w", err)
		}
		r.adds.taken(now)
	}
	return nil
}

// due reports whether it is time to write down when keys were used, and what
// for. Until then, all that stays with the keys: in lists of its own it would
// have the collector look at it once more.
func (r *Recorder) due(now time.Time) (touching, adding bool) {
	r.mu.Lock()
	queued := len(r.pending) + len(r.former)
	r.mu.Unlock()
	touching = r.touches.due(now, len(r.unwritten)+queued, r.limits)
	adding = r.waiting.sent != nil || r.apart.Load() >= r.perNode/2 || r.adds.due(now, len(r.waiting.counts)+queued, r.limits)
	return touching, adding
}

func (r *Recorder) touch(ctx context.Context) error {
	if len(r.unwritten) == 0 {
		return nil
	}
	if err := r.store.Touch(ctx, r.unwritten); err != nil {
		return err
	}
	r.unwritten = map[keys.ID]time.Time{} // one that was large would stay large
	return nil
}

// How often a node removes old usage, at most, and how often one does on which
// nothing was counted: a disk that nobody needs should be let sleep.
const (
	pruneEvery     = 10 * time.Minute
	pruneEveryIdle = time.Hour
)

// prune removes what is too old. Of all nodes on the store one does.
func (r *Recorder) prune(ctx context.Context, now time.Time) error {
	r.flushing.Lock()
	defer r.flushing.Unlock()
	every := pruneEvery
	if r.idle {
		every = pruneEveryIdle
	}
	if !r.pruned.IsZero() && now.Sub(r.pruned) < every {
		return nil
	}
	r.pruned, r.idle = now, true
	keep := r.Keep()
	if keep == 0 { // what was counted before stays its time
		keep = DefaultKeep
	}
	if err := r.store.PruneUsage(ctx, Keeping(keep), now, pruneEvery); err != nil {
		return fmt.Errorf("removing old usage: %w", err)
	}
	return nil
}

// Keeping returns how long each step is kept, if usage is for keep.
func Keeping(keep time.Duration) keys.UsageKeep {
	return keys.UsageKeep{
		keys.Minute: min(keep, 48*time.Hour),
		keys.Hour:   min(keep, 14*24*time.Hour),
		keys.Day:    keep,
	}
}
