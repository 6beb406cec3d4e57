package caddymodule

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const (
	// An import of the most keys that a call may have fits in.
	maxEventsWaiting = 16_384
	// Of refusals so many a second are told; the next one says how many were
	// left out. Anybody with a disabled key can be refused as often as they like.
	refusalsASecond = 10
)

// events tells Caddy's events app what happens to keys. Handlers run one after
// another, in a goroutine of their own: a slow one holds up no request. What
// no handler wants to hear is told to nobody and costs nothing.
type events struct {
	app     *caddyevents.App
	ctx     caddy.Context
	log     *zap.Logger
	waiting chan happening
	// started is set when all apps have started: before, subscriptions may
	// still come in, and the events app is not made for both at once.
	started  atomic.Bool
	refusals atomic.Bool // somebody wants to hear of refusals
	allowed  *rate.Limiter
	omitted  atomic.Int64
	done     chan struct{} // closed when Run has ended; nil before it began
	// onStart hears that all apps have started.
	onStart func()
	stop    context.CancelFunc
}

// happening is an event that waits to be told.
type happening struct {
	name string
	data map[string]any
}

func newEvents(ctx caddy.Context, log *zap.Logger, onStart func()) (*events, error) {
	app, err := ctx.App("events")
	if err != nil {
		return nil, fmt.Errorf("loading the events app: %w", err)
	}
	e := &events{
		app: app.(*caddyevents.App), ctx: ctx, log: log,
		waiting: make(chan happening, maxEventsWaiting), allowed: rate.NewLimiter(refusalsASecond, refusalsASecond),
		onStart: onStart,
	}
	if err := e.app.On("started", e); err != nil {
		return nil, fmt.Errorf("subscribing to the start: %w", err)
	}
	return e, nil
}

// Handle hears that all apps have started.
func (e *events) Handle(context.Context, caddy.Event) error {
	e.refusals.Store(e.app.ShouldEmit(keys.EventRefused))
	e.started.Store(true)
	e.onStart()
	return nil
}

// begin starts the goroutine that tells; end waits for it.
func (e *events) begin() {
	ctx, stop := context.WithCancel(e.ctx)
	e.stop, e.done = stop, make(chan struct{})
	go func() {
		defer close(e.done)
		e.run(ctx)
	}()
}

func (e *events) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-e.waiting:
			e.app.Emit(e.ctx, h.name, h.data)
		}
	}
}

// end ends what begin began. A handler that does not heed its context is left
// behind after a while: it must not keep a configuration from ending.
func (e *events) end() {
	if e == nil || e.done == nil {
		return
	}
	e.stop()
	select {
	case <-e.done:
	case <-time.After(drainTimeout):
		e.log.Warn("a handler of an event has not ended; going on without it")
	}
}

// tell has an event told, soon. It never waits.
func (e *events) tell(name string, data map[string]any) {
	select {
	case e.waiting <- happening{name, data}:
	default:
		e.log.Warn("too many events wait for their handlers; one is left out", zap.String("event", name))
	}
}

// changed tells of a change that the admin API has made and answered.
func (e *events) changed(c admin.Change) {
	name := keys.EventOf(c.Action)
	if !e.started.Load() || !e.app.ShouldEmit(name) {
		return
	}
	e.tell(name, map[string]any{
		"key": string(c.Key), "prefix": c.Prefix, "owner": c.Owner, "actor": string(c.Actor), "action": c.Action,
	})
}

// refused tells of a request that was refused although its key is known.
func (e *events) refused(d *gate.Decision, now time.Time) {
	if d.Key == nil || !e.refusals.Load() {
		return
	}
	if !e.allowed.AllowN(now, 1) {
		e.omitted.Add(1)
		return
	}
	e.tell(keys.EventRefused, map[string]any{
		"key": string(d.Key.ID()), "prefix": d.Key.Prefix(), "owner": d.Key.Owner(), "actor": string(d.Key.ID()), "action": d.Outcome.Code(),
		"api": d.API, "endpoint": d.Endpoint, "omitted": e.omitted.Swap(0),
	})
}
