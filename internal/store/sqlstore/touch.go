package sqlstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// touchedAtOnce is how many keys one transaction touches: a longer one would
// keep an admin's change waiting for more than some 20 ms.
const touchedAtOnce = 1000

// Touch implements keys.Store. It is no change: no number, no feed, no audit.
// What it had written when it failed can be written again.
func (s *Store) Touch(ctx context.Context, used map[keys.ID]time.Time) error {
	// In order, so that two nodes that touch the same keys don't deadlock.
	ids := slices.Sorted(maps.Keys(used))
	for some := range slices.Chunk(ids, touchedAtOnce) {
		if err := s.touch(ctx, some, used); err != nil {
			return fmt.Errorf("recording when keys were used: %w", err)
		}
	}
	return nil
}

func (s *Store) touch(ctx context.Context, ids []keys.ID, used map[keys.ID]time.Time) (err error) {
	tx, err := s.engine.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // the first error is the one that matters
		}
	}()
	at := make([]int64, len(ids))
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i], at[i] = string(id), milli(used[id])
	}
	if err := s.engine.Use(ctx, tx, texts, at); err != nil {
		return err
	}
	if err := s.markLapsed(ctx, tx, slices.Max(at)); err != nil {
		return err
	}
	return tx.Commit()
}
