package usage

import (
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// limits bound memory: callers choose what is captured from a path.
type limits struct {
	perKey  int   // things of one key that are told apart, between two flushes
	perNode int64 // and of all keys
	waiting int   // counts that wait for a store that is down
	batch   int   // counts that are written at once
}

// A count that waits takes some 250 bytes. A batch holds the only writer of
// SQLite for some 20 ms, at 35 µs a count.
var defaultLimits = limits{perKey: keys.MaxUsesADay, perNode: 200_000, waiting: 400_000, batch: 500}

// find returns the count of what, if there is one.
func find(t *keys.Tally, what keys.What) *keys.Tallied {
	for i := range t.First {
		if c := t.First[i].Load(); c == nil || c.What == what {
			return c // with room among the first there are no more
		}
	}
	t.Mu.RLock()
	defer t.Mu.RUnlock()
	return t.More[what]
}

// add makes room for a count. Where there is none left, its endpoint is one of
// the others: how many of those there are, the configuration bounds.
func (r *Recorder) add(t *keys.Tally, what keys.What) *keys.Tallied {
	t.Mu.Lock()
	defer t.Mu.Unlock()
	if c := findLocked(t, what); c != nil {
		return c
	}
	if what.Endpoint != "" && what.Endpoint != keys.OtherEndpoints && (r.apart.Load() >= r.perNode || 1+len(t.First)+len(t.More) >= r.perKey) {
		what.Endpoint = keys.OtherEndpoints
		if c := findLocked(t, what); c != nil {
			return c
		}
	}
	r.apart.Add(1)
	what.Endpoint = strings.Clone(what.Endpoint) // it is a part of the request's path
	c := &t.One
	if t.First[0].Load() != nil {
		c = new(keys.Tallied)
	}
	c.What = what // nobody has seen it yet
	for i := range t.First {
		if t.First[i].CompareAndSwap(nil, c) {
			return c
		}
	}
	if t.More == nil {
		t.More = map[keys.What]*keys.Tallied{}
	}
	t.More[what] = c
	return c
}

// findLocked is find for who holds the lock.
func findLocked(t *keys.Tally, what keys.What) *keys.Tallied {
	for i := range t.First {
		if c := t.First[i].Load(); c == nil || c.What == what {
			return c
		}
	}
	return t.More[what]
}

// retired is a tally that a flush took away from its key. A request that found
// it before may still count in it, so it is looked at again, for a while that
// is longer than any request stops between two instructions.
type retired struct {
	key   keys.ID
	tally *keys.Tally
	since time.Time
}

const retirement = 30 * time.Second

// collect takes what was marked and counted from the keys. A tally stays with
// its key as long as all that it tells apart goes on, and is little: a new one
// for each flush would keep the collector busy, and the processor waiting for
// memory.
func (r *Recorder) collect(now time.Time) {
	r.drainRetired(now)
	r.mu.Lock()
	pending, former := r.pending, r.former
	r.pending, r.former = nil, nil
	r.mu.Unlock()
	for i := range former {
		u := &former[i]
		r.idle = false
		r.waiting.add(u.Key, u.What, u.N, u.LastAt.UnixMilli(), r.limits.waiting)
	}
	r.apart.Store(0)
	inUse := pending[:0]
	for _, id := range pending {
		if r.goesOn(id) {
			r.keepLast(id)
			inUse = append(inUse, id)
			continue
		}
		id.Unqueue()
		r.keepLast(id)
		r.takeUses(id)
		if t := id.Tally.Swap(nil); t != nil {
			r.drain(id.ID(), t)
			r.retired = append(r.retired, retired{id.ID(), t, now})
		}
	}
	clear(pending[len(inUse):])
	r.mu.Lock()
	r.pending = append(inUse, r.pending...)
	r.mu.Unlock()
}

// goesOn takes what was counted, and reports whether the key may stay in the
// queue, with its tally: that must leave room for what is new, for its key and
// for others.
func (r *Recorder) goesOn(id *keys.Identity) bool {
	goesOn := r.takeUses(id)
	t := id.Tally.Load()
	if t == nil {
		return goesOn
	}
	things, used := r.drain(id.ID(), t)
	if used < things || things > int64(len(t.First)) || r.apart.Load()+things > r.perNode/2 {
		return false
	}
	r.apart.Add(things)
	return true
}

// takeUses takes what was counted with a key, and reports whether anything was.
func (r *Recorder) takeUses(id *keys.Identity) bool {
	u := id.TakeUses()
	if u.N == 0 {
		return false
	}
	r.idle = false
	r.waiting.add(id.ID(), r.things.what(u.Thing), u.N, u.Last, r.limits.waiting)
	return true
}

// drainRetired looks at the tallies that were taken away.
func (r *Recorder) drainRetired(now time.Time) {
	for _, old := range r.retired {
		r.drain(old.key, old.tally)
	}
	kept := r.retired[:0]
	for _, old := range r.retired {
		if now.Sub(old.since) < retirement {
			kept = append(kept, old)
		}
	}
	clear(r.retired[len(kept):])
	r.retired = kept
}

// keepLasts notes when keys were last used, and leaves their counts where they
// are.
func (r *Recorder) keepLasts() {
	r.mu.Lock()
	pending := r.pending
	r.mu.Unlock()
	for _, id := range pending { // what is added meanwhile is behind them
		r.keepLast(id)
	}
}

// keepLast notes when a key was last used, if it was since.
func (r *Recorder) keepLast(id *keys.Identity) {
	milli := id.TakeLastUse()
	if milli == 0 { // it was only refused
		return
	}
	if at := time.UnixMilli(milli); at.After(r.unwritten[id.ID()]) {
		r.unwritten[id.ID()] = at
	}
}

// drain moves the counts of a tally to those that wait to be written. It
// returns how many things it tells apart, and how many were counted.
func (r *Recorder) drain(key keys.ID, t *keys.Tally) (things, used int64) {
	take := func(c *keys.Tallied) {
		things++
		last := c.Last.Load() // before them, so that they keep their minute
		n := c.N.Swap(0)
		if n == 0 {
			return
		}
		if last == 0 { // they are the first
			last = c.Last.Load()
		}
		used++
		r.idle = false
		r.waiting.add(key, c.What, n, last, r.limits.waiting)
	}
	for i := range t.First {
		c := t.First[i].Load()
		if c == nil {
			return things, used
		}
		take(c)
	}
	t.Mu.RLock()
	defer t.Mu.RUnlock()
	for _, c := range t.More {
		take(c)
	}
	return things, used
}
