package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
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
// notifications, which have the number of the change in them, and by looking.
type news struct {
	start *start
	pool  *pgxpool.Pool

	// hearing is not 0 while what is committed is heard of, as far as anybody can
	// tell: it counts the reasons that the listener had to believe so. A change
	// that was found by looking alone takes back the one that there was before:
	// a network may swallow everything, and the connection looks well for
	// seconds. Until the listener hears of something, or its server answers,
	// changes are looked for.
	hearing atomic.Uint64
	reasons uint64 // the listener's own
	mu      sync.Mutex
	come    chan struct{} // closed when there is something new to know
	heard   keys.Seq      // the highest number that was heard of, or seen
	missed  bool          // there may be a higher one: for a while nothing was heard
	told    keys.Seq      // the place whose caller was told last that heard is beyond it
}

func newNews(s *start, pool *pgxpool.Pool) *news {
	return &news{start: s, pool: pool, come: make(chan struct{}), missed: true, told: -1}
}

// wokenBy returns o with an OnCommit that wakes who waits, too.
func (n *news) wokenBy(o keys.Options) keys.Options {
	told := o.OnCommit
	o.OnCommit = func(c keys.Change) {
		if told != nil {
			told(c)
		}
		n.hear(c.Seq)
	}
	return o
}

// hear wakes who waits for a change up to this one.
func (n *news) hear(seq keys.Seq) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if seq > n.heard {
		n.heard = seq
		n.wake()
	}
}

// miss makes who waits look: there may be changes of which nothing was heard.
func (n *news) miss() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.missed = true
	n.wake()
}

// wake needs n.mu.
func (n *news) wake() {
	close(n.come)
	n.come = make(chan struct{})
}

// What is known about changes after a place.
type known int

const (
	nothingNew known = iota
	somethingNew
	notSure // it must be looked up
)

// after says whether there are changes after a place, and what wakes who waits
// for them. Who is told so twice of one place found nothing there: then the
// database was replaced by an older copy, and what was heard is void.
func (n *news) after(place keys.Seq) (known, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.missed || n.heard > place && n.told == place:
		return notSure, n.come
	case n.heard > place:
		n.told = place
		return somethingNew, n.come
	}
	return nothingNew, n.come
}

const lastSQL = `SELECT seq FROM counters`

// AwaitChange implements keys.Store. Where a notification says that there is a
// change, nothing is asked: the caller reads the changes next, and one round
// trip is half the way of a change to this node. A last change before the
// given one means that the database was replaced by an older copy; the caller
// finds that out.
func (s *Store) AwaitChange(ctx context.Context, after keys.Seq) error {
	due, hearing := false, uint64(0)
	for {
		known, come := s.news.after(after)
		if known == somethingNew {
			return nil
		}
		if known == notSure || due {
			last, err := s.news.look(ctx)
			if err != nil {
				return errors.Join(ctx.Err(), fmt.Errorf("watching for changes: %w", err))
			}
			if last != after {
				if due && known == nothingNew { // unless something was heard since
					s.news.hearing.CompareAndSwap(hearing, 0)
				}
				return nil
			}
		}
		var err error
		hearing = s.news.hearing.Load()
		if due, err = wait(ctx, come, hearing > 0); err != nil {
			return err
		}
	}
}

// look asks for the last change. What is heard while it asks counts more than
// the answer.
func (n *news) look(ctx context.Context) (last keys.Seq, err error) {
	n.mu.Lock()
	heard, missed := n.heard, n.missed
	n.missed = false
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	err = plain(n.pool.QueryRow(ctx, lastSQL).Scan(&last))
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.missed = n.missed || missed
		return 0, err
	}
	if n.heard == heard || last > n.heard {
		n.heard = last
		n.wake() // others who wait may have looked for the same
	}
	return last, nil
}

// wait waits until there is something new to know, or, which makes it report
// true, until it is time to look.
func wait(ctx context.Context, come <-chan struct{}, hearing bool) (due bool, err error) {
	pause := lookWhileDeaf
	if hearing {
		// Nodes that hear of the same change must not look together for ever after.
		pause = lookWhileHearing*3/4 + rand.N(lookWhileHearing/2) //nolint:gosec // G404: no secret
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-come:
		return false, nil
	case <-timer.C:
		return true, nil
	}
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
		_ = n.follow(ctx, config, pause.Reset)
		n.hearing.Store(0)
		n.miss()
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

// follow hears notifications on one connection until it breaks.
func (n *news) follow(ctx context.Context, config *pgx.ConnConfig, progress func()) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // nothing is lost with it
	if err := listenOn(ctx, conn); err != nil {
		return err
	}
	progress()
	n.miss() // something may have come before
	n.hears()
	for {
		seq, err := waitFor(ctx, conn)
		switch {
		case err == nil && seq > 0:
			n.hears()
			n.hear(seq)
			continue
		case err == nil: // whoever sent it, it says no number
			n.miss()
			continue
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) || conn.IsClosed():
			return err
		}
		if err := ask(ctx, conn); err != nil {
			return err
		}
		n.hears()
	}
}

// hears says that there is a new reason to believe that changes are heard of.
// Only the listener has any.
func (n *news) hears() {
	n.reasons++
	n.hearing.Store(n.reasons)
}

func listenOn(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	_, err := conn.Exec(ctx, `LISTEN keywarden_changes`)
	return err
}

// waitFor waits for a notification and returns the number in it; 0 for none.
// It may be no more than a hint: the table says what changed.
func waitFor(ctx context.Context, conn *pgx.Conn) (keys.Seq, error) {
	ctx, cancel := context.WithTimeout(ctx, stillThere)
	defer cancel()
	told, err := conn.WaitForNotification(ctx)
	if err != nil {
		return 0, err
	}
	seq, err := strconv.ParseInt(told.Payload, 10, 64)
	if err != nil || seq < 0 {
		return 0, nil // then the table is asked
	}
	return keys.Seq(seq), nil
}

func ask(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return conn.Ping(ctx)
}
