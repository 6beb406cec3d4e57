package keys

import "time"

// What changes of an Identity but its counts is one number: when the key was
// used last, in Unix milliseconds, above three flags. A field for each would make
// every cached key a sixth larger.
const (
	queued     = 1 << iota // it waits for its use to be written down
	refreshing             // the store is being asked for it again
	unnoted                // the time of the last use is news
	flagBits   = iota
)

// TakeLastUse returns when the key was used last, in Unix milliseconds, if it
// was used since it was asked this before; 0: it was not.
func (i *Identity) TakeLastUse() int64 {
	if i.used.Load()&unnoted == 0 {
		return 0
	}
	return i.used.And(^unnoted) >> flagBits
}

// UsedAt moves the time of the last use forward to milli, if that is later by
// at least resolution, and reports whether it did.
func (i *Identity) UsedAt(milli int64, resolution time.Duration) bool {
	for {
		now := i.used.Load()
		if milli-now>>flagBits < resolution.Milliseconds() {
			return false
		}
		if i.used.CompareAndSwap(now, milli<<flagBits|now&(1<<flagBits-1)|unnoted) { // never back to an earlier time
			return true
		}
	}
}

// Queue reports true to the one caller after which the use of the key waits to
// be written down, until Unqueue.
func (i *Identity) Queue() bool { return i.raise(queued) }

// Unqueue says that the use of the key is about to be written down.
func (i *Identity) Unqueue() { i.used.And(^queued) }

// StartRefresh reports true to the one caller that should ask the store again
// for the Identity, before it is too old.
func (i *Identity) StartRefresh() bool { return i.raise(refreshing) }

// EndRefresh lets a later caller ask again.
func (i *Identity) EndRefresh() { i.used.And(^refreshing) }

func (i *Identity) raise(flag int64) bool {
	return i.used.Load()&flag == 0 && i.used.Or(flag)&flag == 0
}
