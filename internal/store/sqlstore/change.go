package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// errUnchanged ends a change that turned out to change nothing.
var errUnchanged = errors.New("nothing to change")

// change is a transaction that changes something, and what the feed will say
// about it.
type change struct {
	*sql.Tx
	store *Store
	by    keys.By
	at    int64
	fed   keys.Change
}

// Taking the number first makes changes wait for each other, on engines that
// let several run at once as well: numbers become visible in order, and what
// a change reads (is there another admin key?) stays true until it commits.
const nextSeqSQL = `UPDATE counters SET seq = seq + 1 RETURNING seq`

// inChange runs do in a transaction, adds the change to the feed and commits.
// Whatever do returns, other than nil, undoes everything and is returned,
// except that errUnchanged is no error.
func (s *Store) inChange(ctx context.Context, by keys.By, do func(c *change) error) error {
	tx, err := s.engine.Begin(ctx)
	if err != nil {
		return fmt.Errorf("beginning a change: %w", err)
	}
	// After the commit this does nothing. Before it, whatever happens, the
	// change is undone: a panic too must not keep the only writer. After a
	// full disk or an interrupt the engine has rolled back on its own and
	// says so; the error that is returned already is the one that matters.
	defer func() { _ = tx.Rollback() }()
	c := &change{Tx: tx, store: s, by: by, at: milli(by.At)}
	if err := c.run(ctx, do); err != nil {
		if errors.Is(err, errUnchanged) {
			return nil
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing a change: %w", err)
	}
	if s.options.OnCommit != nil {
		s.options.OnCommit(c.fed)
	}
	return nil
}

func (c *change) run(ctx context.Context, do func(c *change) error) error {
	if err := c.QueryRowContext(ctx, nextSeqSQL).Scan(&c.fed.Seq); err != nil {
		return fmt.Errorf("numbering a change: %w", err)
	}
	c.fed.At = fromMilli(c.at)
	if err := do(c); err != nil {
		return err
	}
	if err := c.feed(ctx); err != nil {
		return err
	}
	return c.store.markLapsed(ctx, c.Tx, c.at)
}

const (
	insertChangeSQL = `INSERT INTO changes (seq, at, is_foreign, digests) VALUES ($1, $2, $3, $4)`
	pruneChangesSQL = `DELETE FROM changes WHERE seq <= $1`
)

func (c *change) feed(ctx context.Context) error {
	digests := make([]byte, 0, len(c.fed.Digests)*len(keys.Digest{}))
	for i := range c.fed.Digests {
		digests = append(digests, c.fed.Digests[i][:]...)
	}
	if _, err := c.ExecContext(ctx, insertChangeSQL, c.fed.Seq, c.at, integer(c.fed.Foreign), digests); err != nil {
		return fmt.Errorf("feeding a change: %w", err)
	}
	if _, err := c.ExecContext(ctx, pruneChangesSQL, int64(c.fed.Seq)-c.store.maxChanges); err != nil {
		return fmt.Errorf("pruning the change feed: %w", err)
	}
	return nil
}

// milli is how times are stored: Unix milliseconds.
func milli(t time.Time) int64 { return t.UnixMilli() }

func fromMilli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// optionalMilli stores the zero time as NULL. The first millisecond of 1970
// becomes the second: an Identity says "never" by 0, and what has ended must
// not begin to live for ever.
func optionalMilli(t time.Time) sql.NullInt64 {
	if t.IsZero() {
		return sql.NullInt64{}
	}
	ms := milli(t)
	if ms == 0 {
		ms = 1
	}
	return sql.NullInt64{Int64: ms, Valid: true}
}

func fromOptionalMilli(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return fromMilli(ms.Int64)
}

// integer is how flags are stored, so that both engines take the same text.
func integer(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
