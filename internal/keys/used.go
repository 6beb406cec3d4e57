package keys

import "time"

// What changes of an Identity is one number: a field for each part would make
// every cached key a sixth larger. From its low end: three flags; what is
// counted here, and how often it was done; and when the key was used last, in
// Unix milliseconds, until the year 2109. A request that does what is counted
// here changes one word of memory that it needed anyway.
const (
	queued     = 1 << iota // it waits for its use to be written down
	refreshing             // the store is being asked for it again
	unnoted                // the time of the last use is news
	flagBits   = iota
	flagMask   = 1<<flagBits - 1

	thingBits = 10
	timesBits = 9
	thingAt   = flagBits
	timesAt   = thingAt + thingBits
	lastAt    = timesAt + timesBits
	maxTimes  = 1<<timesBits - 1
	maxLast   = 1<<(64-lastAt) - 1
)

// Thing is a number that package usage gives a What; 0 stands for none.
type Thing uint16

// MaxThing is the highest there is room for.
const MaxThing Thing = 1<<thingBits - 1

// Uses are how often a thing was done within a minute, and when last, in Unix
// milliseconds.
type Uses struct {
	Thing   Thing
	N, Last int64
}

// Use is what became of a use of a key.
type Use struct {
	Counted bool // here
	Noted   bool // the time of the last use has moved
	// Over is what was counted before and has no more room here: it is of a
	// minute that is over, or as much as can be counted. N is 0 for none.
	Over Uses
}

// resolution is how exact the time of a last use is that is not counted.
const resolution = int64(time.Second / time.Millisecond)

const minute = 1000 * int64(Minute)

// Use notes that the key was used at milli, and counts it as thing, if that is
// what is counted here, or nothing is; 0 is not counted.
func (i *Identity) Use(milli int64, thing Thing) Use {
	milli = min(max(milli, 0), maxLast)
	for {
		now := usedWord(i.used.Load())
		next, use := now.use(milli, thing)
		if next == now || i.used.CompareAndSwap(uint64(now), uint64(next)) {
			return use
		}
	}
}

// usedWord is the number.
type usedWord uint64

func (w usedWord) last() int64  { return int64(w >> lastAt) }
func (w usedWord) times() int64 { return int64(w >> timesAt & maxTimes) }
func (w usedWord) thing() Thing { return Thing(w >> thingAt & usedWord(MaxThing)) }

func (w usedWord) use(milli int64, thing Thing) (usedWord, Use) {
	var use Use
	before, is, times := w.last(), w.thing(), w.times()
	last := max(before, milli) // never back to an earlier time
	if times > 0 && (last/minute != before/minute || times == maxTimes && thing == is) {
		use.Over, times = w.uses(), 0
	}
	if use.Counted = thing != 0 && (times == 0 || thing == is); use.Counted {
		is, times = thing, times+1
	} else if use.Over.N == 0 && last-before < resolution {
		return w, use
	}
	flags := w & flagMask
	if use.Noted = last > before; use.Noted {
		flags |= unnoted
	}
	return usedWord(last)<<lastAt | usedWord(times)<<timesAt | usedWord(is)<<thingAt | flags, use //nolint:gosec // G115: none is negative
}

func (w usedWord) uses() Uses { return Uses{Thing: w.thing(), N: w.times(), Last: w.last()} }

// Uses returns what is counted here; N is 0 where nothing is, and Thing then
// what was counted before, or 0.
func (i *Identity) Uses() Uses { return usedWord(i.used.Load()).uses() }

// TakeUses returns what was counted here, and counts anew.
func (i *Identity) TakeUses() Uses {
	return usedWord(i.used.And(^uint64(maxTimes << timesAt))).uses()
}

// TakeLastUse returns when the key was used last, in Unix milliseconds, if it
// was used since it was asked this before; 0: it was not.
func (i *Identity) TakeLastUse() int64 {
	if i.used.Load()&unnoted == 0 {
		return 0
	}
	return usedWord(i.used.And(^uint64(unnoted))).last()
}

// Queue reports true to the one caller after which the use of the key waits to
// be written down, until Unqueue.
func (i *Identity) Queue() bool { return i.raise(queued) }

// Unqueue says that the use of the key is about to be written down.
func (i *Identity) Unqueue() { i.used.And(^uint64(queued)) }

// StartRefresh reports true to the one caller that should ask the store again
// for the Identity, before it is too old.
func (i *Identity) StartRefresh() bool { return i.raise(refreshing) }

// EndRefresh lets a later caller ask again.
func (i *Identity) EndRefresh() { i.used.And(^uint64(refreshing)) }

func (i *Identity) raise(flag uint64) bool {
	return i.used.Load()&flag == 0 && i.used.Or(flag)&flag == 0
}
