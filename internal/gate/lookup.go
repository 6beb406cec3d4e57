package gate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/caddy-keywarden/keywarden/internal/cache"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// Found says where an answer came from: the label "result" of the metrics.
type Found uint8

// Where answers come from.
const (
	Miss    Found = iota // the store was asked
	Hit                  // remembered and fresh
	Unknown              // remembered as unknown
	Stale                // remembered, too old, and the store could not be asked
)

// String returns the metric's label.
func (f Found) String() string { return [...]string{"miss", "hit", "unknown", "stale"}[f] }

// errBusy says that unknown secrets have used up the look-ups of this second.
var errBusy = errors.New("too many look-ups of unknown secrets")

const (
	// storeTimeout is how long a look-up waits (contract, section 11).
	storeTimeout = 2 * time.Second
	// breakerFailures in a row stop look-ups for breakerPause, so that requests
	// do not each wait out the timeout of a store that is down. The pause is
	// well below the 5 s within which all must be right again.
	breakerFailures = 5
	breakerPause    = time.Second
	// downFor is how long a failed query speaks for the next one: as long as
	// each of them fails there is another within it. Meanwhile a request that
	// can be answered from memory does not wait out the timeout first.
	downFor = breakerPause + 2*storeTimeout
)

// LookupOptions are what an operator configures of look-ups.
type LookupOptions struct {
	MaxKeys      int64         // how many keys are remembered
	TTL          time.Duration // how long without asking again
	UnknownTTL   time.Duration // how long an unknown secret is remembered
	StaleIfError time.Duration // how long while the store can't be asked
	// UnknownRate is how many look-ups a second unknown secrets may cause.
	UnknownRate float64
}

// Finder is what is needed of a keys.Store.
type Finder interface {
	Find(ctx context.Context, d keys.Digest) (*keys.Identity, error)
	FindMany(ctx context.Context, ds []keys.Digest) ([]*keys.Identity, error)
	Digests(ctx context.Context, yield func(keys.Digest) bool) error
	Recent(ctx context.Context, limit int, yield func(*keys.Identity) bool) error
	Counts(ctx context.Context, now time.Time) (keys.Counts, error)
	HasForeign(ctx context.Context) (bool, error)
}

// Lookup finds who a secret belongs to: in the cache, or in the store.
type Lookup struct {
	store   Finder
	cache   *cache.Cache
	flight  singleflight.Group
	again   refreshes
	flights sync.WaitGroup // who waits for one, and refreshes
	breaker *gobreaker.CircuitBreaker[struct{}]
	unknown *rate.Limiter
	known   filter
	rounds  rounds
	options atomic.Pointer[LookupOptions]
	foreign atomic.Int32
	// start is the zero of the cache's clock: differences to it are taken by
	// the monotonic clock, so that setting the clock back makes nothing fresh.
	start time.Time
	// failed is when a query failed, by that clock; 0: the last one did not.
	failed atomic.Int64
	// Observe is called before each query of the store, and what it returns
	// after it; nil for nobody. It is where metrics and traces come in.
	Observe func(ctx context.Context) (context.Context, func(error))
	// CatchUp applies all changes that were committed before it was called,
	// as feed.Feed does. While unknown secrets use up all look-ups, it tells
	// which of the others may be a key that was just made on another node. Nil
	// where there is no feed.
	CatchUp func(ctx context.Context) error
}

// What is known of secrets of another format. As long as it is not known
// whether there are any, a text of the wrong form may be one.
const (
	foreignUnclear int32 = iota
	foreignNone
	foreignSome
)

// NewLookup returns a Lookup over store.
func NewLookup(store Finder, o LookupOptions) (*Lookup, error) {
	// A tenth as many unknown secrets as keys is plenty: each is worth one
	// query in UnknownTTL, and the rate bounds those anyway.
	c, err := cache.New(o.MaxKeys, max(1000, o.MaxKeys/10))
	if err != nil {
		return nil, err
	}
	l := &Lookup{store: store, cache: c, start: time.Now(), unknown: rate.NewLimiter(0, 0)}
	l.breaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         "key store",
		Timeout:      breakerPause,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerFailures },
		IsSuccessful: func(err error) bool { return err == nil || errors.Is(err, keys.ErrNoSuchKey) },
	})
	l.Configure(o)
	return l, nil
}

// Configure takes new options and keeps what is remembered.
func (l *Lookup) Configure(o LookupOptions) {
	l.cache.Resize(o.MaxKeys)
	l.unknown.SetLimit(rate.Limit(o.UnknownRate))
	l.unknown.SetBurst(max(1, int(o.UnknownRate)))
	l.rounds.every(o.UnknownRate)
	l.options.Store(&o)
}

// Find returns who the secret with digest d belongs to at now, or nil for an
// unknown secret. An error says that the store could not be asked and nothing
// fresh enough is remembered. A hit does not allocate and takes no lock.
func (l *Lookup) Find(ctx context.Context, d *keys.Digest, now time.Time) (*keys.Identity, Found, error) {
	o := l.options.Load()
	e, ok := l.cache.Get(d)
	if !ok {
		return l.miss(ctx, *d, e, 0, true)
	}
	age := now.Sub(l.start) - e.CheckedAt
	if e.Identity == nil {
		if age < o.UnknownTTL {
			return nil, Unknown, nil
		}
		return l.miss(ctx, *d, e, 0, false)
	}
	if age < o.TTL {
		// From four fifths of its ttl on, a key in use is looked up again
		// in the background: a hit never waits for the store.
		if age > o.TTL-o.TTL/5 && e.StartRefresh() {
			l.refresh(e)
		}
		return e.Identity, Hit, nil
	}
	left := max(o.StaleIfError, o.TTL) - age
	if left <= 0 {
		e = cache.Entry{}
	}
	return l.miss(ctx, *d, e, left, false)
}

// miss asks the store. kept has an identity too old to serve, unless the store
// can't be asked, and then for the time that is left; cold says that nothing
// at all is remembered.
func (l *Lookup) miss(ctx context.Context, d keys.Digest, kept cache.Entry, left time.Duration, cold bool) (*keys.Identity, Found, error) {
	if kept.Identity == nil {
		if may, err := l.admit(ctx, &d); err != nil {
			return nil, Miss, err
		} else if !may {
			return nil, Unknown, nil
		}
	}
	if kept.Identity != nil && l.down() {
		if kept.StartRefresh() {
			l.refresh(kept)
		}
		return kept.Identity, Stale, nil
	}
	began := time.Now()
	id, err := l.fetch(ctx, d, cold)
	if err != nil && kept.Identity != nil && ctx.Err() == nil && time.Since(began) < left {
		return kept.Identity, Stale, nil
	}
	return id, Miss, err
}

// down says that the store could not be asked a moment ago.
func (l *Lookup) down() bool {
	failed := time.Duration(l.failed.Load())
	return failed != 0 && time.Since(l.start)-failed < downFor
}

// admit says whether a secret that is not remembered is worth a look-up: if
// the filter takes it for a stored one, or while tokens are left. With none
// left, it may still be a key that was made a moment ago on another node: when
// all changes so far are applied, the filter knows, and false says that the
// secret is unknown. So a flood of false secrets shuts out no key, and no
// query is made for each of them. An error says that this can't be told now.
func (l *Lookup) admit(ctx context.Context, d *keys.Digest) (bool, error) {
	if l.known.mayHold(d) || l.unknown.Allow() {
		return true, nil
	}
	if l.CatchUp == nil || l.down() {
		return false, errBusy
	}
	if err := l.rounds.join(ctx, l.catchUp); err != nil {
		return false, errors.Join(errBusy, err)
	}
	return l.known.mayHold(d), nil
}

// catchUp is a query that unknown secrets cause, as good as a look-up.
func (l *Lookup) catchUp(ctx context.Context) error {
	l.charge()
	return l.CatchUp(ctx)
}

// charge takes a token, if need be one of the next second's: what was asked
// without one counts as well.
func (l *Lookup) charge() {
	if l.unknown.Tokens() > -float64(l.unknown.Burst()) {
		l.unknown.Reserve()
	}
}

// fetch asks the store, once for all that wait for the same secret. The
// query belongs to none of them, so that one that gives up fails no other.
// Where nothing was remembered, somebody's answer may have come in since.
func (l *Lookup) fetch(ctx context.Context, d keys.Digest, cold bool) (*keys.Identity, error) {
	l.flights.Add(1)
	answer := l.flight.DoChan(string(d[:]), func() (any, error) {
		if e, ok := l.cache.Get(&d); cold && ok {
			return e.Identity, nil
		}
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		return l.ask(shared, d)
	})
	select {
	case r := <-answer:
		l.flights.Done()
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*keys.Identity), nil
	case <-ctx.Done():
		go func() { <-answer; l.flights.Done() }()
		return nil, fmt.Errorf("waiting for the key store: %w", ctx.Err())
	}
}

// ask looks a secret up and remembers the answer. If the secret changed in
// the meantime, the answer may be from before: it is not remembered, and the
// store is asked once more for those who wait.
func (l *Lookup) ask(ctx context.Context, d keys.Digest) (*keys.Identity, error) {
	var id *keys.Identity
	for range 2 {
		ticket := l.cache.Ticket(&d)
		began := time.Since(l.start)
		id = nil
		err := l.query(ctx, func(ctx context.Context) (err error) {
			id, err = l.store.Find(ctx, d)
			return err
		})
		switch {
		case errors.Is(err, keys.ErrNoSuchKey):
			if l.known.mayHold(&d) { // by mistake, and so without a token
				l.charge()
			}
		case err != nil:
			return nil, err
		}
		if l.cache.Put(ticket, id, began) {
			break
		}
	}
	// Only now do those who come next find it there: a herd is one query.
	l.cache.WaitFor(&d)
	return id, nil
}

// query asks the store, unless it has failed again and again a moment ago.
func (l *Lookup) query(ctx context.Context, question func(context.Context) error) error {
	_, err := l.breaker.Execute(func() (struct{}, error) {
		done := func(error) {}
		if l.Observe != nil {
			ctx, done = l.Observe(ctx)
		}
		err := question(ctx)
		done(err)
		if err == nil || errors.Is(err, keys.ErrNoSuchKey) {
			l.failed.Store(0)
		} else {
			l.failed.Store(int64(time.Since(l.start)))
		}
		return struct{}{}, err
	})
	if err != nil && !errors.Is(err, keys.ErrNoSuchKey) {
		return fmt.Errorf("asking the key store: %w", err)
	}
	return err
}

// Apply forgets what a committed change may have altered. When it returns,
// the next request sees the change: requests that come now do not even join
// a look-up that began before.
func (l *Lookup) Apply(c keys.Change) {
	if c.Foreign {
		l.foreign.Store(foreignSome)
	}
	l.known.add(c.Digests)
	l.cache.Invalidate(c.Digests)
	for i := range c.Digests {
		l.flight.Forget(string(c.Digests[i][:]))
	}
}

// Reset forgets everything that was learned from the store.
func (l *Lookup) Reset() {
	l.foreign.Store(foreignUnclear)
	l.known.invalidate()
	l.cache.Reset()
}

// Foreign reports whether secrets of another format were imported, so that a
// text of the wrong form may still be a secret.
func (l *Lookup) Foreign() bool { return l.foreign.Load() != foreignNone }

// Run keeps the filter of known secrets filled until ctx ends. It begins with
// the first Reset, which is how a feed begins. onError hears of faults, and
// Run tries again.
func (l *Lookup) Run(ctx context.Context, onError func(error)) {
	for {
		select {
		case <-l.known.outgrown():
		case <-ctx.Done():
			return
		}
		for err := l.fill(ctx); err != nil && ctx.Err() == nil; err = l.fill(ctx) {
			onError(fmt.Errorf("reading which secrets are known: %w", err))
			select {
			case <-time.After(breakerPause):
			case <-ctx.Done():
			}
		}
	}
}

func (l *Lookup) fill(ctx context.Context) error {
	if err := l.Prime(ctx); err != nil {
		return err
	}
	counts, err := l.store.Counts(ctx, time.Now())
	if err != nil {
		return err
	}
	return l.known.fill(uint(counts.Active+counts.Disabled+counts.Expired), func(yield func(keys.Digest) bool) error { //nolint:gosec // G115: counts are not negative
		reading := newGentle()
		return l.store.Digests(ctx, func(digest keys.Digest) bool {
			more := yield(digest)
			reading.rest(ctx)
			return more
		})
	})
}

// Prime learns whether secrets of another format were imported: until then
// every text of the wrong form costs a look-up.
func (l *Lookup) Prime(ctx context.Context) error {
	some, err := l.store.HasForeign(ctx)
	if err != nil {
		return err
	}
	if some {
		l.foreign.Store(foreignSome)
		return nil
	}
	// An import that was heard of in the meantime stands.
	l.foreign.CompareAndSwap(foreignUnclear, foreignNone)
	return nil
}

// Close frees the memory; no Find may be under way. It waits for the queries
// that were made for requests which are gone, or beside them.
func (l *Lookup) Close() {
	l.flights.Wait()
	l.cache.Close()
}
