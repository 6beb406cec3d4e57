package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// A change of another process must hold here within 100 ms. Every glanceEvery
// a glance at the log's size and time tells, for a tenth of what it costs to
// ask the database, that nothing was written; where it can't tell, because the
// last write is no older than settleTime or the system is slow to say, the
// database is asked, and at least every askEvery in any case: a commit becomes
// visible only after what was written has reached the disk.
const (
	glanceEvery = 25 * time.Millisecond
	settleTime  = 50 * time.Millisecond
	askEvery    = 75 * time.Millisecond
)

// watch notices changes: this process's own at once, others' by looking.
type watch struct {
	last   *sql.Stmt
	log    string // the file that commits are written to
	mu     sync.Mutex
	commit chan struct{} // closed at the next commit of this process
}

func newWatch(ctx context.Context, db *sql.DB, path string) (*watch, error) {
	last, err := db.PrepareContext(ctx, `SELECT seq FROM counters`)
	if err != nil {
		return nil, fmt.Errorf("preparing to watch for changes: %w", err)
	}
	return &watch{last: last, log: path + "-wal", commit: make(chan struct{})}, nil
}

// wokenBy returns o with an OnCommit that wakes the watch, too.
func (w *watch) wokenBy(o keys.Options) keys.Options {
	told := o.OnCommit
	o.OnCommit = func(c keys.Change) {
		if told != nil {
			told(c)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		close(w.commit)
		w.commit = make(chan struct{})
	}
	return o
}

func (w *watch) nextCommit() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.commit
}

// glance is what the log looked like when the database was last asked.
type glance struct {
	asked, written time.Time
	size           int64
}

// mustAsk reports whether the database may have changed since it was asked,
// and if so takes it that it is asked now.
func (g *glance) mustAsk(log string, now time.Time) bool {
	seen := glance{asked: now, written: now} // without a log: cannot tell
	if info, err := os.Stat(log); err == nil {
		seen.written, seen.size = info.ModTime(), info.Size()
	}
	if seen.size == g.size && seen.written.Equal(g.written) && now.Sub(seen.written) > settleTime && now.Sub(g.asked) < askEvery {
		return false
	}
	*g = seen
	return true
}

// AwaitChange implements keys.Store. A last change before the given one means
// that the file was replaced by an older copy; the caller finds that out.
func (s *Store) AwaitChange(ctx context.Context, after keys.Seq) error {
	tick := time.NewTicker(glanceEvery)
	defer tick.Stop()
	var last glance
	for {
		commit := s.watch.nextCommit() // before looking, or a commit is missed
		if last.mustAsk(s.watch.log, time.Now()) {
			seq, err := s.watch.ask() //nolint:contextcheck // see there
			if err != nil {
				return errors.Join(ctx.Err(), fmt.Errorf("watching for changes: %w", err))
			}
			if seq != after {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-commit:
			last = glance{}
		case <-tick.C:
		}
	}
}

// ask asks for the number of the last change. Without a context that can end:
// each would cost two goroutines, one of them woken up, and reading one row
// does not wait for writers.
func (w *watch) ask() (seq keys.Seq, err error) {
	err = w.last.QueryRowContext(context.Background()).Scan(&seq)
	return seq, err
}

func (w *watch) close() error { return w.last.Close() }
