package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// No index has the order: noting uses would have to keep it up, all day, for
// what is asked once a start. Reading a million keys takes a second.
const recentSQL = `SELECT ` + ManyColumns + `
	FROM (SELECT n FROM keys ORDER BY COALESCE(last_used_at, 0) DESC, n DESC LIMIT $1) r
	JOIN keys k ON k.n = r.n JOIN secrets s ON s.key_n = r.n`

// Recent implements keys.Store.
func (s *Store) Recent(ctx context.Context, limit int, yield func(*keys.Identity) bool) (err error) {
	if limit <= 0 {
		return nil
	}
	rows, err := s.engine.Read.QueryContext(ctx, recentSQL, limit)
	if err != nil {
		return fmt.Errorf("reading the keys that were used last: %w", err)
	}
	defer closeRows(rows, &err)
	var digest sql.RawBytes
	for row := newIdentityRow(&digest); rows.Next(); {
		id, err := s.scanIdentity(rows, row)
		if err != nil {
			return fmt.Errorf("reading the keys that were used last: %w", err)
		}
		id.Digest = keys.Digest(digest)
		if !yield(id) {
			return nil
		}
	}
	return nil
}
