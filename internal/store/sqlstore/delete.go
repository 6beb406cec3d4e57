package sqlstore

import (
	"context"
	"fmt"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// Secrets and the APIs of the key go with it, by their foreign keys.
const deleteKeySQL = `DELETE FROM keys WHERE n = $1`

// Delete implements keys.Store.
func (s *Store) Delete(ctx context.Context, by keys.By, id keys.ID, g keys.Guard) error {
	return s.inChange(ctx, by, func(c *change) error {
		before, err := c.guarded(ctx, id, g)
		if err != nil {
			return err
		}
		if err := c.keepAdmin(ctx, g, before, nil); err != nil {
			return err
		}
		if err := c.altered(ctx, "delete", before, nil); err != nil {
			return err
		}
		if _, err := c.ExecContext(ctx, deleteKeySQL, before.n); err != nil {
			return fmt.Errorf("deleting key: %w", err)
		}
		return c.index().forget(ctx, before.n)
	})
}
