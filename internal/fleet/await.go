package fleet

import (
	"context"
	"slices"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// lookEvery is how often others are looked at while somebody waits. A look
// takes some 30 µs on SQLite, and a round trip on Postgres.
const lookEvery = 10 * time.Millisecond

// Await waits until every change that was committed before the call holds on
// all nodes, at most until ctx ends, and returns the nodes on which it is not
// known to hold. A node that is not live is not waited for, but is returned
// as long as it may answer from memory. An error says that nothing is known.
//
// On this node it holds already: the store tells it before it returns.
func (m *Member) Await(ctx context.Context) ([]keys.Node, error) {
	nodes, target, err := m.looks.after(ctx, time.Now(), m.store)
	if err != nil {
		return nil, err
	}
	for {
		behind := slices.DeleteFunc(slices.Clone(nodes), func(n keys.Node) bool { return n.ID == m.ID() || n.Applied >= target })
		if !slices.ContainsFunc(behind, func(n keys.Node) bool { return n.Live() }) {
			return behind, nil
		}
		select {
		case <-ctx.Done():
			return behind, nil
		case <-time.After(lookEvery):
		}
		// What another waiter saw a moment ago will do: many who wait look no
		// more often than one.
		later, _, err := m.looks.after(ctx, time.Now().Add(-lookEvery), m.store)
		if err == nil { // else what was seen last is what is known
			nodes = later
		}
	}
}

// looks lets those who wait at the same time share what one of them sees.
type looks struct {
	free  chan struct{} // holds an element while somebody looks
	began time.Time     // of the last look that succeeded; read and written while looking
	nodes []keys.Node
	last  keys.Seq
}

// after returns what a look has seen that began after the given time.
func (l *looks) after(ctx context.Context, since time.Time, store Store) ([]keys.Node, keys.Seq, error) {
	select {
	case l.free <- struct{}{}:
		defer func() { <-l.free }()
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	if !l.began.After(since) {
		began := time.Now()
		nodes, last, err := store.Nodes(ctx)
		if err != nil {
			return nil, 0, err
		}
		l.began, l.nodes, l.last = began, nodes, last
	}
	return l.nodes, l.last, nil
}
