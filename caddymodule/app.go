package caddymodule

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-keywarden/keywarden/config"
	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/webhook"
)

const appName = "api_keys"

// App is the app api_keys: it opens the store, and holds what the handlers
// share. It may be left out of a configuration; every option has a default.
//
// Provision does no I/O, as `validate` runs it; Start opens everything. The
// http app may be started before this one, and its requests outlive Stop:
// handlers wait for the start, and the engine is let go of in Cleanup, after
// all apps have stopped.
type App struct {
	config.App

	settings config.Settings
	webhooks []webhook.Endpoint
	// loaded is when the configuration was: a webhook that is new is told of
	// what happens from then on.
	loaded   time.Time
	redactor *redactor
	events   *events
	log      *zap.Logger

	// What Provision of the handlers registers.
	auths  []*Auth
	admins []*Admin
	// entrances are what the handlers' servers accept from.
	entrances []*entrance

	key    string // of engine in the pool; "" as long as none is held
	engine *engine
	// endBootstrapping ends the tries to make a first admin key, and waits;
	// nil where there are none.
	endBootstrapping func()
	// running is what requests use; nil before Start and if it failed.
	running atomic.Pointer[engine]
	// settled is closed when Start is over, or will never be.
	settled chan struct{}
	settle  sync.Once
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: appName, New: func() caddy.Module { return &App{settled: make(chan struct{})} }}
}

// Provision replaces placeholders and fills in defaults.
func (a *App) Provision(ctx caddy.Context) error {
	a.log = ctx.Logger()
	a.redactor = newRedactor()
	a.redactor.wrapSinks(ctx, a.log)
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	// Here rather than in Validate: what follows needs values without faults.
	if err := a.App.Validate(); err != nil {
		return err
	}
	var err error
	if a.events, err = newEvents(ctx, quiet(a.log), a.takeOver); err != nil {
		return err
	}
	a.settings = a.App.Settings(caddy.AppDataDir())
	return a.expand(caddy.NewReplacer())
}

// expand replaces the placeholders of what may come from the environment.
func (a *App) expand(repl *caddy.Replacer) (err error) {
	if a.settings.Store, err = expandStore(a.settings.Store, repl); err != nil {
		return err
	}
	if a.settings.AdminKey, err = expandAdminKey(a.settings.AdminKey, repl); err != nil {
		return err
	}
	if a.webhooks, err = expandWebhooks(a.Webhooks, repl); err != nil {
		return err
	}
	a.loaded = time.Now()
	a.settings.Node, err = expandNode(a.settings.Node, repl)
	return err
}

// expandAdminKey takes an empty placeholder for a fault: an admin key that
// someone forgot to set must not turn into no admin key.
func expandAdminKey(text string, repl *caddy.Replacer) (string, error) {
	if text == "" {
		return "", nil
	}
	text, err := repl.ReplaceOrErr(text, true, true)
	if err != nil {
		return "", fmt.Errorf("admin_key: %w; expected a secret: set the variable, or remove admin_key", err)
	}
	text = strings.TrimSpace(text) // a secret from a file ends with its line
	if _, err := keys.ForeignSecret(text); err != nil {
		return "", fmt.Errorf("admin_key: expected 1 to %d printable ASCII characters without spaces", keys.MaxSecretLen)
	}
	return text, nil
}

// weakAdminKey is the length below which an admin key can be guessed, even if
// its characters are random.
const weakAdminKey = 20

// Start opens the store, or takes over the one that is open already, and lets
// the waiting requests go on.
func (a *App) Start() error {
	defer a.settle.Do(func() { close(a.settled) })
	if n := len(a.settings.AdminKey); n > 0 && n < weakAdminKey {
		a.log.Warn("admin_key is short enough to be guessed; use 32 random characters or more", zap.Int("length", n))
	}
	key := engineKey(a.settings.Store)
	value, kept, err := engines.LoadOrNew(key, func() (caddy.Destructor, error) { return openEngine(a.settings, a.log) })
	if err != nil {
		return fmt.Errorf("opening %s store: %w", a.settings.Store.Kind, err)
	}
	a.key, a.engine = key, value.(*engine)
	a.engine.use(a, lookupOptions(a.settings), a.settings.Node, a.settings.UsageKeep, a.log)
	a.log.Debug("key store open", zap.Bool("kept_from_before", kept))

	gates := make([]*gate.Gate, 0, len(a.auths))
	for _, h := range a.auths {
		gates = append(gates, h.open(a.engine))
	}
	if err := a.bootstrap(); err != nil {
		return err
	}
	catalog := gate.NewCatalog(gates...)
	a.engine.declare(a, catalog)
	for _, h := range a.admins {
		if err := h.open(a.engine, catalog); err != nil {
			return err
		}
	}
	a.events.begin()
	a.running.Store(a.engine)
	return nil
}

// takeOver gives this configuration what comes in from now on: all of it has
// started.
func (a *App) takeOver() {
	var all sync.WaitGroup
	for _, e := range a.entrances {
		all.Go(e.takeOver)
	}
	all.Wait()
}

// Stop does nothing yet: requests that are under way may still need the
// engine. Cleanup runs when the http app has seen them out.
func (a *App) Stop() error { return nil }

// Cleanup lets go of the engine. It also runs when Provision or Start failed,
// and in a reload that failed it gives the engine its former options back.
func (a *App) Cleanup() error {
	if a.settled != nil {
		a.settle.Do(func() { close(a.settled) })
	}
	a.events.end()
	if a.engine == nil {
		return nil
	}
	a.endBootstrap()
	a.engine.drop(a)
	key := a.key
	a.engine, a.key = nil, ""
	if _, err := engines.Delete(key); err != nil {
		return fmt.Errorf("closing the key store: %w", err)
	}
	return nil
}

// ready returns the engine, waiting for Start if need be; nil if there is
// none, or ctx ended before.
func (a *App) ready(ctx context.Context) *engine {
	if e := a.running.Load(); e != nil {
		return e
	}
	select {
	case <-a.settled:
	case <-ctx.Done():
	}
	return a.running.Load()
}

func lookupOptions(s config.Settings) gate.LookupOptions {
	return gate.LookupOptions{
		MaxKeys:      int64(s.MaxKeys),
		TTL:          s.TTL,
		UnknownTTL:   s.UnknownTTL,
		StaleIfError: s.StaleIfError,
		UnknownRate:  float64(s.Lookups),
	}
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.Validator    = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
