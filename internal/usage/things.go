package usage

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// things numbers what is counted with keys themselves. A number means the same
// for ever, since a key may have it for as long: there is room for those that
// came first, and what comes later is counted in tallies.
type things struct {
	whats [keys.MaxThing + 1]atomic.Pointer[keys.What]

	mu      sync.RWMutex
	numbers map[keys.What]keys.Thing
}

// what returns what a number stands for, which must have been given.
func (t *things) what(n keys.Thing) keys.What { return *t.whats[n].Load() }

// on returns the number of what, if that can be counted with the key; 0: it
// can't, for something else is, or there are no more numbers.
func (t *things) on(id *keys.Identity, what keys.What) keys.Thing {
	is := id.Uses()
	switch {
	case is.Thing != 0 && *t.whats[is.Thing].Load() == what:
		return is.Thing
	case is.N > 0:
		return 0
	}
	t.mu.RLock()
	n, known := t.numbers[what]
	full := len(t.numbers) == int(keys.MaxThing)
	t.mu.RUnlock()
	if known || full {
		return n
	}
	return t.add(what)
}

func (t *things) add(what keys.What) keys.Thing {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, known := t.numbers[what]
	if known || len(t.numbers) == int(keys.MaxThing) {
		return n
	}
	if t.numbers == nil {
		t.numbers = map[keys.What]keys.Thing{}
	}
	what.Endpoint = strings.Clone(what.Endpoint) // it is a part of the request's path
	n = keys.Thing(len(t.numbers) + 1)           //nolint:gosec // G115: at most MaxThing
	t.whats[n].Store(&what)
	t.numbers[what] = n
	return n
}
