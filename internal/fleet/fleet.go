// Package fleet makes this node known to the others on the same store: that
// it is there, which changes hold on it, what it declares. And it waits until
// a change holds on them. It carries no change itself; package feed does.
package fleet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const (
	// DefaultEvery is how often a node says that it is there.
	DefaultEvery = time.Second
	// silentBeats is how many times a node may miss that before it is not
	// live any more; one alone may be lost with a connection.
	silentBeats = 4
	// tellGap is what lies at least between two tellings: 1000 changes a
	// second must not make each node write as often.
	tellGap = 10 * time.Millisecond
	// tellTimeout bounds one telling, and the farewell.
	tellTimeout = 2 * time.Second
	// pruneEvery is how often nodes that are gone are removed. Nobody sees
	// them in between; they only take room.
	pruneEvery = time.Minute
	// MaxSkew is how far a clock may be off before it is worth a warning:
	// expiries are judged by it.
	MaxSkew = 5 * time.Second
)

// Store is what is needed of a keys.Store.
type Store interface {
	PutNode(ctx context.Context, n keys.Node, apis []keys.Declared) (time.Time, error)
	Beat(ctx context.Context, id string, p keys.Pulse) (time.Time, error)
	DropNode(ctx context.Context, id string) error
	PruneNodes(ctx context.Context) error
	Nodes(ctx context.Context) ([]keys.Node, keys.Seq, error)
}

// Options are what a member is made with.
type Options struct {
	Store   Store
	Name    string        // as people know the node; see Name
	Version string        // of the product
	Every   time.Duration // how often it says that it is there; 0: DefaultEvery
	Keeps   time.Duration // how long it may answer from memory without the store
	Now     func() time.Time
	// Skewed is told when this node's clock is ahead of the store's (or
	// behind, less than 0) by more than MaxSkew; nil: nobody is.
	Skewed func(ahead time.Duration)
}

// Member is this node, one among those on the store.
type Member struct {
	store  Store
	every  time.Duration
	now    func() time.Time
	skewed func(time.Duration)
	wake   chan struct{} // there is something to tell

	mu     sync.Mutex
	self   keys.Node
	apis   []keys.Declared
	whole  bool // the store does not know all of self and apis yet
	pruned time.Time

	looks looks
}

// New returns a member with an id of its own; Run makes it known.
func New(o Options) *Member {
	m := &Member{store: o.Store, every: o.Every, now: o.Now, skewed: o.Skewed, wake: make(chan struct{}, 1), whole: true}
	if m.every <= 0 {
		m.every = DefaultEvery
	}
	if m.now == nil {
		m.now = time.Now
	}
	if m.skewed == nil {
		m.skewed = func(time.Duration) {}
	}
	m.self = keys.Node{
		ID:   "node_" + strings.ReplaceAll(uuid.Must(uuid.NewV7()).String(), "-", ""),
		Name: Name(o.Name), Version: o.Version, StartedAt: m.now(), Lease: silentBeats * m.every, Keeps: o.Keeps,
	}
	m.looks.free = make(chan struct{}, 1)
	return m
}

const maxName = 100

// Name returns text as a name that can stand in a list in a header, whatever
// a machine is called.
func Name(text string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._:-", r):
			return r
		}
		return '-'
	}, text)
	if name == "" {
		return "unnamed"
	}
	return name[:min(len(name), maxName)]
}

// ID is the node's id.
func (m *Member) ID() string { return m.self.ID }

// Reached says that all changes up to seq hold on this node.
func (m *Member) Reached(seq keys.Seq) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.self.Applied == seq {
		return
	}
	m.self.Applied = seq
	m.nudge()
}

// Declare says what this node's configuration calls it, which APIs it
// declares, and for how long it may answer from memory.
func (m *Member) Declare(name string, apis []keys.Declared, keeps time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.self.Name == Name(name) && m.self.Keeps == keeps && slices.EqualFunc(m.apis, apis, equal) {
		return
	}
	m.self.Name, m.apis, m.self.Keeps, m.whole = Name(name), slices.Clone(apis), keeps, true
	m.nudge()
}

func equal(a, b keys.Declared) bool {
	return a.Name == b.Name && a.Title == b.Title && slices.Equal(a.Patterns, b.Patterns) && slices.Equal(a.Endpoints, b.Endpoints)
}

// nudge makes Run tell the store; m.mu is held or not.
func (m *Member) nudge() {
	select {
	case m.wake <- struct{}{}:
	default: // it will, anyway
	}
}

// Run tells the store about this node until ctx ends, and then that it has
// left. onError hears of each fault; what was to be told is told again.
func (m *Member) Run(ctx context.Context, onError func(error)) {
	for {
		next := m.every
		if err := m.Tell(ctx); err != nil && ctx.Err() == nil {
			onError(err)
			next = min(next, DefaultEvery)
		}
		if !m.pause(ctx, next) {
			m.leave(ctx, onError)
			return
		}
	}
}

// pause waits until there is something to tell, at most for the given time;
// false says that ctx has ended.
func (m *Member) pause(ctx context.Context, most time.Duration) bool {
	gap := time.NewTimer(min(tellGap, most))
	defer gap.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-gap.C:
	}
	beat := time.NewTimer(max(0, most-tellGap))
	defer beat.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-beat.C:
	case <-m.wake:
	}
	return true
}

// leave makes the others not wait for this node any more.
func (m *Member) leave(ctx context.Context, onError func(error)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTimeout)
	defer cancel()
	if err := m.store.DropNode(ctx, m.ID()); err != nil {
		onError(err)
	}
}

// Tell tells the store how things stand. Run does so by itself; it is called
// before the node answers its first request, so that no other node takes it
// for absent while it begins to remember keys.
func (m *Member) Tell(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	m.mu.Lock()
	self, apis, whole := m.self, m.apis, m.whole
	m.whole = false
	m.mu.Unlock()

	sent := m.now()
	at, err := m.say(ctx, self, apis, whole)
	if err != nil {
		m.mu.Lock()
		m.whole = m.whole || whole
		m.mu.Unlock()
		return err
	}
	m.measure(sent, m.now(), at)
	return m.prune(ctx)
}

// say puts the node into the store whole where that is needed: much of it
// never changes.
func (m *Member) say(ctx context.Context, self keys.Node, apis []keys.Declared, whole bool) (time.Time, error) {
	if !whole {
		at, err := m.store.Beat(ctx, self.ID, keys.Pulse{Applied: self.Applied, Skew: self.Skew})
		if !errors.Is(err, keys.ErrNoSuchNode) { // forgotten, after a long silence
			return at, err
		}
	}
	return m.store.PutNode(ctx, self, apis)
}

// measure compares this node's clock with the store's, which was read at some
// moment between sent and received: what lies within that is no difference.
func (m *Member) measure(sent, received, store time.Time) {
	half := received.Sub(sent) / 2
	skew := sent.Add(half).Sub(store)
	if skew.Abs() <= half+time.Millisecond { // the store's clock is cut to milliseconds
		skew = 0
	}
	if skew.Abs() > MaxSkew {
		m.skewed(skew)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if (skew - m.self.Skew).Abs() > max(half, 100*time.Millisecond) {
		m.nudge() // others should see it before the next beat
	}
	m.self.Skew = skew
}

func (m *Member) prune(ctx context.Context) error {
	if m.now().Sub(m.pruned).Abs() < pruneEvery {
		return nil
	}
	m.pruned = m.now()
	return m.store.PruneNodes(ctx)
}
