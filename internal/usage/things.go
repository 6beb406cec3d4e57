package usage

import (
	"maps"
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
	// numbers is never changed but replaced: requests read it without a lock.
	numbers atomic.Pointer[map[keys.What]keys.Thing]
	adding  sync.Mutex
}

// newThings returns things without any number.
func newThings() *things {
	t := &things{}
	t.numbers.Store(&map[keys.What]keys.Thing{})
	return t
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
	if n, final := t.number(what); final {
		return n
	}
	return t.add(what)
}

// number returns the number of what, 0 for none, and whether that is final.
func (t *things) number(what keys.What) (n keys.Thing, final bool) {
	numbers := *t.numbers.Load()
	n, known := numbers[what]
	return n, known || len(numbers) == int(keys.MaxThing)
}

func (t *things) add(what keys.What) keys.Thing {
	t.adding.Lock()
	defer t.adding.Unlock()
	n, final := t.number(what)
	if final {
		return n
	}
	numbers := maps.Clone(*t.numbers.Load())
	what.Endpoint = strings.Clone(what.Endpoint) // it is a part of the request's path
	n = keys.Thing(len(numbers) + 1)             //nolint:gosec // G115: at most MaxThing
	numbers[what] = n
	t.whats[n].Store(&what) // before anybody learns the number
	t.numbers.Store(&numbers)
	return n
}
