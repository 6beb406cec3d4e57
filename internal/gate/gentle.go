package gate

import (
	"context"
	"time"
)

// gentle keeps a long reading in the background out of the way of requests: who
// never stops has a processor for 10 ms at a time, and with the collector and
// the store's own work none may be left.
type gentle struct {
	rows         int
	began, since time.Time // the reading; what was read since the last rest
}

const (
	// gentleStep is read, then a rest taken that is gentleShare times as long.
	gentleStep  = 500 * time.Microsecond
	gentleShare = 4
	// gentleRows are read between two looks at the clock.
	gentleRows = 16
	// gentleTime is when resting ends: the store would end the question later.
	gentleTime = 30 * time.Second
)

func newGentle() *gentle {
	now := time.Now()
	return &gentle{began: now, since: now}
}

// rest is called after each row, and rests when it is time to.
func (g *gentle) rest(ctx context.Context) {
	if g.rows++; g.rows%gentleRows != 0 {
		return
	}
	now := time.Now()
	took := now.Sub(g.since)
	if took < gentleStep || now.Sub(g.began) > gentleTime {
		return
	}
	select {
	case <-time.After(gentleShare * took):
	case <-ctx.Done():
	}
	g.since = time.Now()
}
