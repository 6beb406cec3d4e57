package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const (
	claimUpkeepSQL  = `UPDATE usage_upkeep SET at = NOW WHERE at <= NOW - $1`
	pruneWritersSQL = `DELETE FROM usage_writers WHERE at < NOW - $1`

	oldestSQL      = `SELECT at FROM usage WHERE step = $1 AND at < $2 ORDER BY step, at LIMIT 1`
	someKeySQL     = `SELECT key_n FROM usage WHERE step = $1 AND at = $2 ORDER BY step, at, key_n LIMIT 1 OFFSET 1000`
	pruneSomeSQL   = `DELETE FROM usage WHERE step = $1 AND at = $2 AND key_n <= $3`
	pruneBucketSQL = `DELETE FROM usage WHERE step = $1 AND at = $2`
	oldestTotalSQL = `SELECT at FROM usage_totals WHERE step = $1 AND at < $2 ORDER BY step, at LIMIT 1`
	pruneTotalsSQL = `DELETE FROM usage_totals WHERE step = $1 AND at = $2`
	forgetWriter   = 24 * time.Hour
	prunedAtOnce   = 500 // transactions a call; the next call goes on
)

// PruneUsage implements keys.Store. It removes little at a time, so that no
// change of a key has to wait for it.
func (s *Store) PruneUsage(ctx context.Context, keep keys.UsageKeep, now time.Time, every time.Duration) error {
	if err := s.pruneUsage(ctx, keep, now, every); err != nil {
		return fmt.Errorf("removing old usage: %w", err)
	}
	return nil
}

func (s *Store) pruneUsage(ctx context.Context, keep keys.UsageKeep, now time.Time, every time.Duration) error {
	mine, err := s.doAtNow(ctx, claimUpkeepSQL, every.Milliseconds())
	if err != nil || mine == 0 {
		return err
	}
	if _, err := s.doAtNow(ctx, pruneWritersSQL, forgetWriter.Milliseconds()); err != nil {
		return err
	}
	left := prunedAtOnce
	for step, age := range keep {
		before := milli(now.Add(-age))
		for more := true; more && left > 0; left-- {
			if more, err = s.pruneStep(ctx, step, before); err != nil {
				return err
			}
		}
	}
	return nil
}

// doAtNow runs one statement in a transaction, and returns how many rows it met.
func (s *Store) doAtNow(ctx context.Context, text string, args ...any) (rows int64, err error) {
	err = s.note(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, s.atNow(text), args...)
		if err != nil {
			return err
		}
		rows, err = done.RowsAffected()
		return err
	})
	return rows, err
}

// pruneStep removes some of the oldest bucket of a step, if that is too old,
// and reports whether there may be more.
func (s *Store) pruneStep(ctx context.Context, step keys.Step, before int64) (more bool, err error) {
	at, found, err := s.number(ctx, oldestSQL, int64(step), before)
	if err != nil {
		return false, err
	}
	if !found {
		return s.pruneTotals(ctx, step, before)
	}
	last, many, err := s.number(ctx, someKeySQL, int64(step), at)
	switch {
	case err != nil:
		return false, err
	case many:
		_, err = s.doAtNow(ctx, pruneSomeSQL, int64(step), at, last)
	default:
		_, err = s.doAtNow(ctx, pruneBucketSQL, int64(step), at)
	}
	return err == nil, err
}

// pruneTotals removes the oldest bucket of totals, if that is too old.
func (s *Store) pruneTotals(ctx context.Context, step keys.Step, before int64) (more bool, err error) {
	at, found, err := s.number(ctx, oldestTotalSQL, int64(step), before)
	if err != nil || !found {
		return false, err
	}
	_, err = s.doAtNow(ctx, pruneTotalsSQL, int64(step), at)
	return err == nil, err
}

// number asks for one number, if there is one.
func (s *Store) number(ctx context.Context, text string, args ...any) (n int64, found bool, err error) {
	err = s.engine.Read.QueryRowContext(ctx, text, args...).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return n, err == nil, err
}
