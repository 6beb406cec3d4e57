package sqlstore

import (
	"context"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// ListSQL shows tests the query of a page.
func (s *Store) ListSQL(ctx context.Context, q keys.Query) (string, []any, error) {
	return s.listSQL(ctx, q, 1000, 50)
}
