package gate

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// roundEvery is how long at least is between two rounds: those who come in
	// between share the next one. At 20 000 unknown secrets a second some 400
	// requests wait, each some 20 ms.
	roundEvery = 20 * time.Millisecond
	// maxJoined bounds how many may wait, and so what a flood that finds the
	// store slow can hold: a waiting request takes some 15 kB.
	maxJoined = 4096
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
	exit   chan struct{} // holds one while somebody passes out
	began  time.Time     // of the last round; whose turn it is may read and write it
	mu     sync.Mutex
	coming *round // the next one, which has not begun; nil: nobody waits for it
}

// round is one asking of the question.
type round struct {
	done chan struct{}
	err  error // read after done
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
	// Who leads asks for the others, too, whatever becomes of its own request.
	shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	next, lead := r.next()
	if lead {
		r.lead(shared, next, ask)
	}
	select {
	case <-next.done:
		r.passOut()
		return next.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the change feed: %w", ctx.Err())
	case <-shared.Done():
		return fmt.Errorf("waiting for the change feed: %w", shared.Err())
	}
}

// passOut lets those who waited for a round go one after the other, with a turn
// for everybody else in between: hundreds that are woken at once would stand
// before the requests with cached keys in the scheduler's queue.
func (r *rounds) passOut() {
	r.exit <- struct{}{}
	runtime.Gosched()
	<-r.exit
}

// next returns the round that begins next, and whether the caller leads it.
func (r *rounds) next() (next *round, lead bool) {
	r.once.Do(func() { r.turn, r.exit = make(chan struct{}, 1), make(chan struct{}, 1) })
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.coming == nil {
		r.coming, lead = &round{done: make(chan struct{})}, true
	}
	return r.coming, lead
}

// lead begins the round when the one before is over and the gap has passed.
func (r *rounds) lead(ctx context.Context, led *round, ask func(context.Context) error) {
	defer close(led.done)
	led.err = r.await(ctx)
	r.mu.Lock()
	r.coming = nil // who comes from now on needs a later one
	r.mu.Unlock()
	if led.err != nil {
		return
	}
	defer func() { <-r.turn }()
	r.began = time.Now()
	led.err = ask(ctx)
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
