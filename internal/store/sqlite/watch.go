package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// watchEvery is how often other processes' changes are looked for. A look
// takes some 10 µs, and a change must hold everywhere within 100 ms.
const watchEvery = 25 * time.Millisecond

// watch notices changes: this process's own at once, others' by looking.
type watch struct {
	last   *sql.Stmt
	mu     sync.Mutex
	commit chan struct{} // closed at the next commit of this process
}

func newWatch(ctx context.Context, db *sql.DB) (*watch, error) {
	last, err := db.PrepareContext(ctx, `SELECT seq FROM counters`)
	if err != nil {
		return nil, fmt.Errorf("preparing to watch for changes: %w", err)
	}
	return &watch{last: last, commit: make(chan struct{})}, nil
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

// AwaitChange implements keys.Store. A last change before the given one means
// that the file was replaced by an older copy; the caller finds that out.
func (s *Store) AwaitChange(ctx context.Context, after keys.Seq) error {
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	for {
		commit := s.watch.nextCommit() // before looking, or a commit is missed
		var last keys.Seq
		if err := s.watch.last.QueryRowContext(ctx).Scan(&last); err != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("watching for changes: %w", err))
		}
		if last != after {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-commit:
		case <-look.C:
		}
	}
}

func (w *watch) close() error { return w.last.Close() }
