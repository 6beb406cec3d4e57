package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// A key's standing is what is stored of its status. A status depends on the
// time, so it can't be indexed; but without an index, finding the 50 newest
// active keys behind 900 000 expired ones takes a second. So writers note in
// passing which keys have lapsed. The note is a hint for indexes alone: every
// query compares expires_at with its own now, and is right without any note.
const (
	standingLive   = 0 // enabled
	standingLapsed = 1 // enabled, and seen past its expiry by some writer
	standingOff    = 2 // disabled
)

func standing(enabled bool) int64 {
	if enabled {
		return standingLive
	}
	return standingOff
}

// standingAt is the standing of a key that comes in at a time: of an import
// many may have expired long ago.
func standingAt(k *keys.Key, at int64) int64 {
	if expires := optionalMilli(k.ExpiresAt); k.Enabled && expires.Valid && expires.Int64 <= at {
		return standingLapsed
	}
	return standing(k.Enabled)
}

// markedAtOnce bounds what a change does for others.
const markedAtOnce = 1000

func (s *Store) markLapsed(ctx context.Context, tx *sql.Tx, now int64) error {
	//nolint:gosec // G202: what Using returns is the dialect's own text
	text := `UPDATE keys SET standing = 1 WHERE n IN (SELECT k.n FROM keys k ` + s.engine.Using("keys_expiry") + `
		WHERE k.standing = 0 AND k.expires_at <= $1 LIMIT $2 ` + s.engine.PassLocked + `)`
	if _, err := tx.ExecContext(ctx, text, now, markedAtOnce); err != nil {
		return fmt.Errorf("marking lapsed keys: %w", err)
	}
	return nil
}

const countsSQL = `SELECT standing, count(*), count(CASE WHEN expires_at <= $1 THEN 1 END) FROM keys GROUP BY standing`

// Counts implements keys.Store.
func (s *Store) Counts(ctx context.Context, now time.Time) (counts keys.Counts, err error) {
	rows, err := s.engine.Read.QueryContext(ctx, countsSQL, milli(now))
	if err != nil {
		return keys.Counts{}, fmt.Errorf("counting keys: %w", err)
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		var standing, all, past int64
		if err := rows.Scan(&standing, &all, &past); err != nil {
			return keys.Counts{}, fmt.Errorf("counting keys: %w", err)
		}
		if standing == standingOff {
			counts.Disabled += all
			continue
		}
		counts.Expired += past
		counts.Active += all - past
	}
	return counts, nil
}
