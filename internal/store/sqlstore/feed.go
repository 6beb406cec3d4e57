package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const (
	lastSeqSQL = `SELECT seq FROM counters`
	// The last number and the changes come from one statement, so from one
	// moment: what is missing between them was pruned. There is always a row.
	changesSQL = `SELECT t.seq, c.seq, c.at, c.is_foreign, c.digests FROM counters t
		LEFT JOIN changes c ON c.seq > $1 ORDER BY c.seq LIMIT $2`
	digestsSQL = `SELECT digest FROM secrets`
)

// LastSeq implements keys.Store.
func (s *Store) LastSeq(ctx context.Context) (keys.Seq, error) {
	var seq keys.Seq
	if err := s.engine.Feed.QueryRowContext(ctx, lastSeqSQL).Scan(&seq); err != nil {
		return 0, fmt.Errorf("reading the number of the last change: %w", err)
	}
	return seq, nil
}

// Changes implements keys.Store.
func (s *Store) Changes(ctx context.Context, after keys.Seq, limit int) (changes []keys.Change, err error) {
	if limit <= 0 {
		return nil, nil
	}
	rows, err := s.engine.Feed.QueryContext(ctx, changesSQL, int64(after), limit)
	if err != nil {
		return nil, fmt.Errorf("reading changes: %w", err)
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		last, c, err := scanChange(rows)
		if err != nil {
			return nil, fmt.Errorf("reading changes: %w", err)
		}
		next := after + keys.Seq(len(changes)) + 1
		switch {
		case c == nil && last == after:
			return nil, nil
		case c == nil || c.Seq != next:
			// Pruned; or the database is an older copy, which has not come
			// as far as the caller.
			return nil, keys.ErrLostPlace
		}
		changes = append(changes, *c)
	}
	return changes, nil
}

func scanChange(from scanner) (last keys.Seq, c *keys.Change, err error) {
	var (
		seq, at, foreign sql.NullInt64
		digests          []byte
	)
	if err := from.Scan(&last, &seq, &at, &foreign, &digests); err != nil || !seq.Valid {
		return last, nil, err
	}
	const size = len(keys.Digest{})
	if len(digests)%size != 0 {
		return 0, nil, fmt.Errorf("change %d holds %d bytes of digests, which is no multiple of %d", seq.Int64, len(digests), size)
	}
	c = &keys.Change{Seq: keys.Seq(seq.Int64), At: fromMilli(at.Int64), Foreign: foreign.Int64 != 0}
	for ; len(digests) > 0; digests = digests[size:] {
		c.Digests = append(c.Digests, keys.Digest(digests[:size]))
	}
	return last, c, nil
}

// Digests implements keys.Store.
func (s *Store) Digests(ctx context.Context, yield func(keys.Digest) bool) (err error) {
	rows, err := s.engine.Read.QueryContext(ctx, digestsSQL)
	if err != nil {
		return fmt.Errorf("reading digests: %w", err)
	}
	defer closeRows(rows, &err)
	var b sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&b); err != nil {
			return fmt.Errorf("reading digests: %w", err)
		}
		if !yield(keys.Digest(b)) {
			return nil
		}
	}
	return nil
}
