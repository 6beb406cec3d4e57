package usage

import "time"

// How often much is written. A key that is in use all the time is then noted
// three times a minute instead of six, and counted once: with 10 000 of them
// that is a seventh of the processor time.
const (
	touchInterval = 20 * time.Second // with FlushInterval's time for a slow store
	addInterval   = time.Minute      // no longer: a minute's counts are one row
)

// turn says when it is time to write much. Little is written with each flush.
type turn struct {
	every time.Duration
	last  time.Time // the turn that was taken last
}

// newTurn counts a start as a turn: a gateway that has just started is busy
// enough, and what many keys did in its first seconds comes with the next one.
func newTurn(every time.Duration, start time.Time) turn {
	t := turn{every: every}
	t.taken(start)
	return t
}

// due reports whether to write n things now. What would soon find no room to
// wait in is not made to wait either.
func (t *turn) due(now time.Time, n int, l limits) bool {
	return n <= l.batch || n >= l.waiting/2 || !t.at(now).Equal(t.last)
}

// taken says that all was written.
func (t *turn) taken(now time.Time) { t.last = t.at(now) }

func (t *turn) at(now time.Time) time.Time { return now.Truncate(t.every) }
