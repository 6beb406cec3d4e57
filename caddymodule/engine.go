package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/config"
	"github.com/caddy-keywarden/keywarden/internal/feed"
	"github.com/caddy-keywarden/keywarden/internal/fleet"
	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/usage"
	"github.com/caddy-keywarden/keywarden/internal/webhook"
)

// engines holds what survives a reload, one for each address of a store.
var engines = caddy.NewUsagePool()

// engine is the store and everything that is remembered of it. Configurations
// come and go; as long as one uses the store's address, its engine stays, and
// no cached key is lost.
type engine struct {
	store  keys.Store
	lookup *gate.Lookup
	feed   *feed.Feed
	usage  *usage.Recorder
	hooks  *webhook.Sender
	member *fleet.Member // this node among those on the store
	open   *openRequests
	// sessions of the console outlive a reload, like everything here.
	sessions *admin.Sessions

	stop    context.CancelFunc
	workers sync.WaitGroup
	calls   calls

	mu    sync.Mutex
	users []user
	log   atomic.Pointer[zap.Logger]
}

// user is an App that holds the engine, and what it wants of it.
type user struct {
	app     *App
	options gate.LookupOptions
	node    string        // what it calls the node
	usage   time.Duration // how long usage is kept
	log     *zap.Logger
	// catalog is what app declares; nil as long as it has not said so.
	catalog *gate.Catalog
}

const (
	// drainTimeout bounds the wait for calls under way when the engine closes:
	// longer than a look-up may take.
	drainTimeout = 5 * time.Second
	// A store that is down is not news every time: one line in faultEvery.
	faultEvery = 30 * time.Second
)

func openEngine(s config.Settings, log *zap.Logger) (*engine, error) {
	e := &engine{sessions: admin.NewSessions()}
	e.log.Store(quiet(log))
	ctx, stop := context.WithCancel(context.Background())
	e.stop = stop
	store, err := openStore(ctx, s.Store, keys.Options{OnCommit: e.committed})
	if err != nil {
		stop()
		return nil, err
	}
	e.store = store
	e.hooks = e.newSender()
	e.lookup, err = gate.NewLookup(store, lookupOptions(s))
	if err != nil {
		stop()
		return nil, errors.Join(err, store.Close())
	}
	e.lookup.Observe = observeQuery
	e.open = newOpenRequests(e.lookup.Find)
	e.feed = feed.New(store, changes{e})
	e.lookup.CatchUp = e.feed.CatchUp
	e.usage = usage.New(store)
	e.member = newMember(store, s, e.skewed)
	e.feed.Reached = e.member.Reached
	// Before a key is remembered here, so that no other node takes this one
	// for absent. While the store is down, nothing is remembered either.
	if err := e.member.Tell(ctx); err != nil {
		e.fault(tellingOthers)(err)
	}

	e.work(func() { e.member.Run(ctx, e.fault(tellingOthers)) })
	e.work(func() { e.feed.Run(ctx, e.fault("following changes")) })
	e.work(func() { e.open.Run(ctx) })
	e.work(func() { e.lookup.Run(ctx, e.fault("reading known secrets")) })
	e.work(func() { e.warm(ctx, s.Warm) })
	e.work(func() { e.hooks.Run(ctx, e.fault("sending webhooks")) })
	e.work(func() {
		report := e.fault("writing down how keys were used")
		if err := e.usage.Run(ctx, report); err != nil {
			report(err)
		}
	})
	return e, nil
}

// apply makes a committed change hold here.
func (e *engine) apply(c keys.Change) {
	e.lookup.Apply(c)
	e.open.doubt(c.Digests)
}

// committed makes a change of this process hold here. Who made a change tells
// webhooks of it, at once.
func (e *engine) committed(c keys.Change) {
	e.apply(c)
	e.hooks.Wake()
}

func (e *engine) work(run func()) {
	e.workers.Add(1)
	go func() {
		defer e.workers.Done()
		run()
	}()
}

// fault returns what reports the faults of one worker.
func (e *engine) fault(doing string) func(error) {
	return func(err error) {
		storeErrorsTotal.Inc()
		e.log.Load().Warn(doing, zap.Error(err))
	}
}

// quiet drops what says the same again within faultEvery.
func quiet(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, faultEvery, 1, 0)
	}))
}

// use makes the engine work as app wants it, from now on.
func (e *engine) use(app *App, options gate.LookupOptions, node string, usage time.Duration, log *zap.Logger) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.users = append(e.users, user{app: app, options: options, node: node, usage: usage, log: quiet(log)})
	e.obey()
}

// declare tells other nodes what app declares.
func (e *engine) declare(app *App, catalog *gate.Catalog) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.users {
		if e.users[i].app == app {
			e.users[i].catalog = catalog
		}
	}
	e.obey()
}

// drop forgets app. If it came last, which is so when its load failed, the
// one before it decides again.
func (e *engine) drop(app *App) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.users = slices.DeleteFunc(e.users, func(u user) bool { return u.app == app })
	e.obey()
}

// obey takes the options of the youngest user; e.mu is held.
func (e *engine) obey() {
	if len(e.users) == 0 {
		return
	}
	last := e.users[len(e.users)-1]
	e.lookup.Configure(last.options)
	e.usage.Configure(last.usage)
	e.open.askAfter(last.options.TTL)
	e.hooks.Configure(last.app.webhooks, last.app.loaded)
	e.log.Store(last.log)
	if last.catalog != nil {
		e.member.Declare(last.node, declared(last.catalog), keeps(last.options))
	}
}

// ready says whether this node can answer for keys: the store can be asked
// and its changes are heard of.
func (e *engine) ready(ctx context.Context) error {
	if err := e.store.Ping(ctx); err != nil {
		return fmt.Errorf("asking the key store: %w", err)
	}
	if !e.feed.Connected() {
		return errors.New("the change feed is not connected")
	}
	return nil
}

// Destruct ends the engine when no configuration uses it any more: it waits
// for calls under way, writes down what was used, and closes the store.
func (e *engine) Destruct() error {
	drained := e.calls.close(drainTimeout)
	e.stop()
	e.workers.Wait()
	// A call that is still there after drainTimeout (an upload that is read
	// to be judged) may still use the cache. It is left to the collector.
	if drained {
		e.lookup.Close()
	}
	return e.store.Close()
}

// calls counts the calls under way, so that what they use can be closed.
type calls struct {
	n      atomic.Int64
	closed atomic.Bool
	idle   chan struct{}
	once   sync.Once
}

// enter begins a call; false says that it is too late.
func (c *calls) enter() bool {
	c.n.Add(1)
	if c.closed.Load() {
		c.leave()
		return false
	}
	return true
}

// leave ends a call.
func (c *calls) leave() {
	if c.n.Add(-1) == 0 && c.closed.Load() {
		c.signal()
	}
}

// signal is reached with closed set; the channel is made before that.
func (c *calls) signal() { c.once.Do(func() { close(c.idle) }) }

// close lets no more calls begin and waits for those under way, at most
// timeout. It reports whether all have ended.
func (c *calls) close(timeout time.Duration) bool {
	c.idle = make(chan struct{})
	c.closed.Store(true)
	if c.n.Load() == 0 {
		return true
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-c.idle:
		return true
	case <-timer.C:
		return false
	}
}
