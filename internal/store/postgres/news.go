package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// How often the number of the last change is looked up: while notifications
// are heard it is the backstop, in case one gets lost; otherwise all there is,
// and a change must hold everywhere within 100 ms.
const (
	lookWhileHearing = 500 * time.Millisecond
	lookWhileDeaf    = 40 * time.Millisecond
)

// news tells that there may be changes: this node's own at once, others' by
// notifications and by looking.
type news struct {
	start *start
	pool  *pgxpool.Pool

	hearing atomic.Bool
	mu      sync.Mutex
	come    chan struct{} // closed when there may be something new
}

func newNews(s *start, pool *pgxpool.Pool) *news {
	return &news{start: s, pool: pool, come: make(chan struct{})}
}

// wokenBy returns o with an OnCommit that wakes who waits, too.
func (n *news) wokenBy(o keys.Options) keys.Options {
	told := o.OnCommit
	o.OnCommit = func(c keys.Change) {
		if told != nil {
			told(c)
		}
		n.note()
	}
	return o
}

// note wakes who waits for a change.
func (n *news) note() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.come)
	n.come = make(chan struct{})
}

func (n *news) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.come
}

const lastSQL = `SELECT seq FROM counters`

// AwaitChange implements keys.Store. A last change before the given one means
// that the database was replaced by an older copy; the caller finds that out.
func (s *Store) AwaitChange(ctx context.Context, after keys.Seq) error {
	for {
		come := s.news.next() // before looking, or a change is missed
		last, err := s.news.look(ctx)
		if err != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("watching for changes: %w", err))
		}
		if last != after {
			return nil
		}
		if err := s.news.wait(ctx, come); err != nil {
			return err
		}
	}
}

func (n *news) look(ctx context.Context) (last keys.Seq, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return last, plain(n.pool.QueryRow(ctx, lastSQL).Scan(&last))
}

// wait waits until it is time to look.
func (n *news) wait(ctx context.Context, come <-chan struct{}) error {
	pause := lookWhileDeaf
	if n.hearing.Load() {
		// Nodes that hear of the same change must not look together for ever after.
		pause = lookWhileHearing*3/4 + rand.N(lookWhileHearing/2) //nolint:gosec // G404: no secret
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-come:
	case <-timer.C:
	}
	return nil
}

// listen hears notifications until ctx ends, on a connection of its own: one
// from a pool may be another one for each transaction.
func (n *news) listen(ctx context.Context) {
	select {
	case <-n.start.done:
	case <-ctx.Done():
		return
	}
	config := n.start.listenConfig()
	if config == nil {
		return // looking is all there is
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, time.Second
	for ctx.Err() == nil {
		// What is wrong with the server shows to who looks for changes.
		_ = n.hear(ctx, config, pause.Reset)
		n.hearing.Store(false)
		n.note()
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
		}
	}
}

// listenConfig returns nil where no notifications can be heard.
func (s *start) listenConfig() *pgx.ConnConfig {
	switch {
	case s.address.listen != nil:
		return s.address.listen.Copy()
	case s.pooled.Load():
		return nil
	}
	return s.address.pool.ConnConfig.Copy()
}

// stillThere is how often a connection on which nothing is heard is asked
// whether it still is one.
const stillThere = 5 * time.Second

func (n *news) hear(ctx context.Context, config *pgx.ConnConfig, progress func()) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // nothing is lost with it
	if err := listenOn(ctx, conn); err != nil {
		return err
	}
	progress()
	n.hearing.Store(true)
	n.note() // something may have come before
	for {
		err := waitFor(ctx, conn)
		switch {
		case err == nil:
			n.note()
			continue
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) || conn.IsClosed():
			return err
		}
		if err := ask(ctx, conn); err != nil {
			return err
		}
	}
}

func listenOn(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	_, err := conn.Exec(ctx, `LISTEN keywarden_changes`)
	return err
}

// waitFor waits for a notification. What is in it does not matter: the table
// says what changed.
func waitFor(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, stillThere)
	defer cancel()
	_, err := conn.WaitForNotification(ctx)
	return err
}

func ask(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return conn.Ping(ctx)
}
