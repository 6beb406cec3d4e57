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
	if what.Endpoint != "" && what.Endpoint != keys.OtherEndpoints && (r.apart.Load() >= r.perNode || len(t.First)+len(t.More) >= r.perKey) {
		what.Endpoint = keys.OtherEndpoints
		if c := findLocked(t, what); c != nil {
			return c
		}
	}
	r.apart.Add(1)
	what.Endpoint = strings.Clone(what.Endpoint) // it is a part of the request's path
	c := &keys.Tallied{What: what}
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

// collect takes what was marked and counted from the keys.
func (r *Recorder) collect(now time.Time) {
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

	r.mu.Lock()
	pending := r.pending
	r.pending = nil
	r.mu.Unlock()
	r.apart.Store(0)
	for _, id := range pending {
		id.Unqueue()
		r.keepLast(id)
		if t := id.Tally.Swap(nil); t != nil {
			r.drain(id.ID(), t)
			r.retired = append(r.retired, retired{id.ID(), t, now})
		}
	}
}

// keepLast notes when a key was last used.
func (r *Recorder) keepLast(id *keys.Identity) {
	milli := id.LastUse()
	if milli == 0 { // refused all along
		return
	}
	if at := time.UnixMilli(milli); at.After(r.unwritten[id.ID()]) {
		r.unwritten[id.ID()] = at
	}
}

// drain moves the counts of a tally to those that wait to be written.
func (r *Recorder) drain(key keys.ID, t *keys.Tally) {
	for i := range t.First {
		c := t.First[i].Load()
		if c == nil {
			return
		}
		r.take(key, c)
	}
	t.Mu.RLock()
	defer t.Mu.RUnlock()
	for _, c := range t.More {
		r.take(key, c)
	}
}

func (r *Recorder) take(key keys.ID, c *keys.Tallied) {
	n := c.N.Swap(0)
	if n == 0 {
		return
	}
	r.idle = false
	r.waiting.add(key, c.What, n, time.UnixMilli(c.Last.Load()), r.limits.waiting)
}
