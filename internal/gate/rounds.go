package gate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// roundEvery is how long at least is between two rounds: those who come in
	// between share the next one. At 20 000 unknown secrets a second some 150
	// requests wait, each some 7 ms: of few connections more is found in the
	// processor's caches than of many.
	roundEvery = 5 * time.Millisecond
	// maxJoined bounds how many may wait, and so what a flood that finds the
	// store slow can hold: a waiting request takes some 15 kB.
	maxJoined = 4096
	// Those who waited go on a few at a time, evenly over three quarters of what
	// is between two rounds: hundreds at once would stand in the scheduler's
	// queue before the requests with cached keys, which came later.
	letGoEvery = 500 * time.Microsecond
	// fewWait go at once.
	fewWait = 8
)

// errCrowded says that as many requests wait as may.
var errCrowded = errors.New("too many requests wait for the change feed")

// rounds lets many requests share a question whose answer must be newer than
// each of them. One of those who wait asks for all. The zero value is ready.
type rounds struct {
	gap    atomic.Int64 // between two rounds
	joined atomic.Int64

	once   sync.Once
	turn   chan struct{} // holds an element while a round is under way
	began  time.Time     // of the last round; whose turn it is may read and write it
	mu     sync.Mutex
	coming *round // the next one, which has not begun; nil: nobody waits for it
}

// round is one asking of the question.
type round struct {
	// done lets one of those who wait go on for each element; closed, it lets
	// them all.
	done chan struct{}
	err  error // read after done
	// waiting is how many were there when it began; only who leads reads it then.
	waiting int
}

// every makes rounds take at most half of the given number of queries a second.
func (r *rounds) every(perSecond float64) {
	r.gap.Store(int64(max(roundEvery, time.Duration(2*float64(time.Second)/max(perSecond, 0.1)))))
}

// join returns when ask was called after join was, and what it returned. It
// waits as long as a look-up may.
func (r *rounds) join(ctx context.Context, ask func(context.Context) error) error {
	if r.joined.Add(1) > maxJoined {
		r.joined.Add(-1)
		return errCrowded
	}
	defer r.joined.Add(-1)
	next, lead := r.next()
	if lead {
		r.lead(ctx, next, ask)
		return next.err
	}
	// Who leads came earlier, and gives up in time: no clock is needed here.
	select {
	case <-next.done:
		return next.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the change feed: %w", ctx.Err())
	}
}

// next returns the round that begins next, and whether the caller leads it.
func (r *rounds) next() (next *round, lead bool) {
	r.once.Do(func() { r.turn = make(chan struct{}, 1) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.coming == nil {
		r.coming, lead = &round{done: make(chan struct{})}, true
	}
	r.coming.waiting++
	return r.coming, lead
}

// lead asks, for the others too, whatever becomes of the leader's own request,
// and lets them go.
func (r *rounds) lead(ctx context.Context, led *round, ask func(context.Context) error) {
	defer close(led.done)
	shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if led.err = r.begin(shared, ask); led.err != nil {
		led.err = fmt.Errorf("waiting for the change feed: %w", led.err)
	}
	r.letGo(led)
}

// begin begins the round when the one before is over and the gap has passed.
func (r *rounds) begin(ctx context.Context, ask func(context.Context) error) error {
	err := r.await(ctx)
	r.mu.Lock()
	r.coming = nil // who comes from now on needs a later one
	r.mu.Unlock()
	if err != nil {
		return err
	}
	defer func() { <-r.turn }()
	r.began = time.Now()
	return ask(ctx)
}

// letGo lets those who wait go on. Who does not wait yet, or not any more, is
// left to the end, when done is closed.
func (r *rounds) letGo(led *round) {
	if led.waiting <= fewWait {
		return
	}
	steps := max(1, int(time.Duration(r.gap.Load())*3/4/letGoEvery))
	each := (led.waiting + steps - 1) / steps
	tick := time.NewTicker(letGoEvery)
	defer tick.Stop()
	for left := led.waiting; left > 0; left -= each {
		for range each {
			select {
			case led.done <- struct{}{}:
			default:
			}
		}
		<-tick.C
	}
}

// await takes the turn.
func (r *rounds) await(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	timer := time.NewTimer(time.Until(r.began.Add(time.Duration(r.gap.Load()))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		<-r.turn
		return ctx.Err()
	}
}
