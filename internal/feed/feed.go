// Package feed carries committed changes from the store to this node's cache.
// It changes nothing itself.
package feed

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// batch is how many changes are read at once.
const batch = 1000

// maxPause bounds the wait after an error: the contract promises that all is
// right again within 5 s of the store.
const maxPause = time.Second

// Source is what is needed of a keys.Store.
type Source interface {
	LastSeq(ctx context.Context) (keys.Seq, error)
	Changes(ctx context.Context, after keys.Seq, limit int) ([]keys.Change, error)
	AwaitChange(ctx context.Context, after keys.Seq) error
}

// Sink is what must hear of changes. Hearing of one twice is harmless.
type Sink interface {
	Apply(change keys.Change)
	// Reset forgets everything that was learned from the store.
	Reset()
}

// Feed reads changes in order and hands them to its sink.
type Feed struct {
	// Reached, if set before Run, is called with the number of a change when
	// the sink has heard of that one and of all before it.
	Reached func(keys.Seq)

	source Source
	sink   Sink
	// turn holds an element while changes are read and applied; seq and
	// started are whoever's it is.
	turn      chan struct{}
	seq       keys.Seq
	started   bool // seq is a place in the feed
	connected atomic.Bool
	lag       atomic.Int64
}

// New returns a feed; Run makes it go.
func New(source Source, sink Sink) *Feed {
	return &Feed{source: source, sink: sink, turn: make(chan struct{}, 1)}
}

// Connected reports whether the feed follows the store at present.
func (f *Feed) Connected() bool { return f.connected.Load() }

// Lag returns how old the last change was when it was applied here.
func (f *Feed) Lag() time.Duration { return time.Duration(f.lag.Load()) }

// Run follows the store until ctx ends. onError hears of each fault; the feed
// then goes on where it stopped.
func (f *Feed) Run(ctx context.Context, onError func(error)) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = 50 * time.Millisecond
	pause.MaxInterval = maxPause
	for ctx.Err() == nil {
		err := f.follow(ctx, pause.Reset)
		f.connected.Store(false)
		if ctx.Err() != nil {
			return
		}
		onError(err)
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
		}
	}
}

// follow applies changes until something fails; progress is called whenever
// the store has answered.
func (f *Feed) follow(ctx context.Context, progress func()) error {
	for {
		seq, err := f.advance(ctx, true)
		if err != nil {
			return err
		}
		progress()
		f.connected.Store(true)
		if err := f.source.AwaitChange(ctx, seq); err != nil {
			return fmt.Errorf("waiting for changes: %w", err)
		}
	}
}

// errNotStarted says that the feed has not found its place yet.
var errNotStarted = errors.New("the change feed has not begun")

// CatchUp applies every change that was committed before the call, by
// whomever, without waiting to hear of it. Run goes on as before.
func (f *Feed) CatchUp(ctx context.Context) error {
	_, err := f.advance(ctx, false)
	return err
}

// advance applies all changes that are there, and returns the feed's place.
func (f *Feed) advance(ctx context.Context, start bool) (keys.Seq, error) {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if !f.started {
		if !start {
			return 0, errNotStarted
		}
		if err := f.start(ctx); err != nil {
			return 0, err
		}
	}
	err := f.catchUp(ctx)
	return f.seq, err
}

// start takes the end of the feed as its place. What was cached before is
// forgotten: a change may have been made in between.
func (f *Feed) start(ctx context.Context) error {
	seq, err := f.source.LastSeq(ctx)
	if err != nil {
		return fmt.Errorf("finding the end of the change feed: %w", err)
	}
	f.sink.Reset()
	f.seq, f.started = seq, true
	f.reach()
	return nil
}

func (f *Feed) reach() {
	if f.Reached != nil {
		f.Reached(f.seq)
	}
}

// catchUp applies all changes that are there.
func (f *Feed) catchUp(ctx context.Context) error {
	for {
		changes, err := f.source.Changes(ctx, f.seq, batch)
		if errors.Is(err, keys.ErrLostPlace) {
			return f.start(ctx)
		}
		if err != nil {
			return fmt.Errorf("reading changes after %d: %w", f.seq, err)
		}
		for _, c := range changes {
			f.sink.Apply(c)
			f.seq = c.Seq
			f.lag.Store(int64(max(0, time.Since(c.At))))
		}
		if len(changes) > 0 {
			f.reach()
		}
		if len(changes) < batch {
			return nil
		}
	}
}
