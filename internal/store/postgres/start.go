package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// start is the way to a usable database: reaching it, and bringing its tables
// up to date. Until then no pool opens a connection, and whoever asks is told
// why.
type start struct {
	address    *address
	migrations fs.FS
	pooled     atomic.Bool // the address says so, or a pooler did

	done  chan struct{} // closed when the database can be used
	first chan struct{} // closed after the first attempt

	mu     sync.Mutex
	err    error // why not, as long as it can't be used
	refuse bool  // err is for people to mend
}

// openTime is how long opening waits for a first answer; what takes longer,
// as large migrations may, goes on beside.
const openTime = 5 * time.Second

func newStart(a *address, migrations fs.FS) *start {
	s := &start{
		address: a, migrations: migrations, done: make(chan struct{}), first: make(chan struct{}),
		err: errors.New("the database has not answered yet"),
	}
	s.pooled.Store(a.pooled)
	return s
}

// run tries until the database can be used or ctx ends.
func (s *start) run(ctx context.Context) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, time.Second
	for first := true; ; first = false {
		err := s.attempt(ctx)
		s.mu.Lock()
		s.err = plain(err)
		s.refuse = errors.Is(err, keys.ErrNewerVersion) || errors.Is(err, errUnfit) || misconfigured(err)
		s.mu.Unlock()
		if err == nil {
			close(s.done)
		}
		if first {
			close(s.first)
		}
		if err == nil {
			return
		}
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
			return
		}
	}
}

func (s *start) attempt(ctx context.Context) error {
	err := migrate(ctx, s.connConfig(), s.migrations)
	if !s.pooled.Load() && fromPooler(err) {
		s.pooled.Store(true)
		err = migrate(ctx, s.connConfig(), s.migrations)
	}
	return err
}

// connConfig is for migrations, which may take as long as they take.
func (s *start) connConfig() *pgx.ConnConfig {
	c := s.address.pool.ConnConfig.Copy()
	c.DialFunc = dialer.DialContext // without the limit of a silence
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	if !s.pooled.Load() {
		for _, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
			c.RuntimeParams[name] = "0"
		}
	}
	return c
}

// await waits for the first attempt, a while. An error is one that people
// have to mend, or ctx's.
func (s *start) await(ctx context.Context) error {
	timer := time.NewTimer(openTime)
	defer timer.Stop()
	select {
	case <-s.first:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse {
		return s.err
	}
	return nil
}

// beforeConnect keeps pools from connecting before the database can be used.
func (s *start) beforeConnect() func(context.Context, *pgx.ConnConfig) error {
	return func(_ context.Context, c *pgx.ConnConfig) error {
		select {
		case <-s.done:
		default:
			s.mu.Lock()
			defer s.mu.Unlock()
			return fmt.Errorf("the database can't be used yet: %w", s.err)
		}
		if s.pooled.Load() && !s.address.pooled {
			s.behindPooler(c)
		}
		return nil
	}
}

// behindPooler takes back what the address did not know to be impossible.
func (s *start) behindPooler(c *pgx.ConnConfig) {
	c.RuntimeParams = s.address.pool.ConnConfig.Copy().RuntimeParams
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
}
