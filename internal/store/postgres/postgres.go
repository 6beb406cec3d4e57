// Package postgres keeps keys in a Postgres database that many gateways
// share: it opens the database, brings its tables up to date, hears of other
// nodes' changes, and adds to package sqlstore what only Postgres does in its
// way. A server that can't be reached is no fault of opening: the store is
// there when the server is.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

// Store is a keys.Store in a Postgres database.
type Store struct {
	*sqlstore.Store
	address *address
	start   *start
	pools   *pools
	news    *news

	end     context.CancelFunc // of what runs beside the calls
	workers sync.WaitGroup
}

var _ keys.Store = (*Store)(nil)

// Options are what a Store needs besides keys.Options.
type Options struct {
	keys.Options
	// Listen is the address where changes are heard of, if the store's leads
	// to a pooler, which can't pass on notifications; "" for none.
	Listen string
}

// Open opens the database at address, a URL or keywords, and brings its
// tables up to date. A database that was written by a newer version is refused
// with keys.ErrNewerVersion and not touched; an address that can't be
// understood, and what the server itself says can't work, are refused too.
// Where the server does not answer, the store tries on by itself, and every
// call fails until the server does. No error has the address in it.
func Open(ctx context.Context, address string, o Options) (*Store, error) {
	s, err := openWith(ctx, address, migrations(), o)
	if err != nil {
		return nil, fmt.Errorf("opening postgres store: %w", err)
	}
	return s, nil
}

func openWith(ctx context.Context, text string, migrations fs.FS, o Options) (*Store, error) {
	a, err := parse(text, o.Listen)
	if err != nil {
		return nil, err
	}
	running, end := context.WithCancel(context.Background())
	s := &Store{address: a, start: newStart(a, migrations), end: end}
	s.workers.Go(func() { s.start.run(running) })
	if err := s.start.await(ctx); err != nil {
		end()
		s.workers.Wait()
		return nil, err
	}
	if s.pools, err = s.start.openPools(running); err != nil {
		end()
		s.workers.Wait()
		return nil, err
	}
	s.news = newNews(s.start, s.pools.feed)
	s.workers.Go(func() { s.news.listen(running) })
	s.Store = sqlstore.New(s.pools.engine(), s.news.wokenBy(o.Options))
	return s, nil
}

// Close implements keys.Store.
func (s *Store) Close() error {
	s.end()
	s.workers.Wait()
	if err := s.pools.close(); err != nil {
		return fmt.Errorf("closing postgres store: %w", err)
	}
	return nil
}

// askTime bounds the questions of which the feed has many, and no time of
// their own: after a silence they must be asked again, of another connection.
const askTime = 2500 * time.Millisecond

// LastSeq implements keys.Store.
func (s *Store) LastSeq(ctx context.Context) (keys.Seq, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return s.Store.LastSeq(ctx)
}

// Changes implements keys.Store.
func (s *Store) Changes(ctx context.Context, after keys.Seq, limit int) ([]keys.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return s.Store.Changes(ctx, after, limit)
}

// Ping implements keys.Store.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return s.Store.Ping(ctx)
}

// pools are the connections of a node, apart by use: neither long lists nor
// look-ups of a slow server may hold up the others.
type pools struct {
	start               *start
	lookup, admin, feed *pgxpool.Pool
	adminDB, feedDB     *sql.DB
	lookupDB            *sql.DB
}

func (st *start) openPools(ctx context.Context) (*pools, error) {
	p := &pools{start: st}
	for _, pool := range []struct {
		to  **pgxpool.Pool
		use use
	}{{&p.lookup, forLookups}, {&p.admin, forAdmin}, {&p.feed, forFeed}} {
		config := st.address.config(pool.use)
		config.BeforeConnect = st.beforeConnect()
		if pool.use == forAdmin {
			config.AfterConnect = st.durable
		}
		opened, err := pgxpool.NewWithConfig(ctx, config)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		*pool.to = opened
	}
	p.adminDB, p.feedDB, p.lookupDB = openDB(p.admin), openDB(p.feed), openDB(p.lookup)
	return p, nil
}

func (p *pools) close() error {
	var errs []error
	for _, db := range []*sql.DB{p.adminDB, p.feedDB, p.lookupDB} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	for _, pool := range []*pgxpool.Pool{p.feed, p.lookup, p.admin} {
		if pool != nil {
			pool.Close()
		}
	}
	return errors.Join(errs...)
}
