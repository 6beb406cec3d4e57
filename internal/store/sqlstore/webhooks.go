package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// deliveryColumns are all but the number.
var deliveryColumns = []Column{
	{"id", String},
	{"webhook", String},
	{"audit_n", Integer},
	{"event", String},
	{"at", Integer},
	{"state", Integer},
	{"attempts", Integer},
	{"next_at", Integer},
	{"leased_until", Integer},
	{"last_at", Integer},
	{"last_status", Integer},
	{"last_error", String},
}

const (
	subscribeSQL = `INSERT INTO webhooks (id, place)
		VALUES ($1, coalesce((SELECT n FROM audit WHERE at < $2 ORDER BY n DESC LIMIT 1), 0)) ON CONFLICT (id) DO NOTHING`
	placeSQL  = `SELECT place, NOW FROM webhooks WHERE id = $1 `
	behindSQL = `SELECT n, at, action, key_id FROM audit WHERE n > $1 ORDER BY n LIMIT $2`
	moveSQL   = `UPDATE webhooks SET place = $1 WHERE id = $2`
	knownSQL  = `SELECT EXISTS (SELECT 1 FROM webhooks WHERE id = $1)`
	dueSQL    = `SELECT place < coalesce((SELECT max(n) FROM audit), 0),
		(SELECT min(next_at) FROM webhook_deliveries WHERE webhook = $1 AND state = 0) - NOW FROM webhooks WHERE id = $1`

	// An import of the most keys that a call may have is ten times as much.
	enqueuedAtOnce = 1000
)

// Subscribe implements keys.Store.
func (s *Store) Subscribe(ctx context.Context, webhook string, since time.Time) error {
	err := s.note(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, subscribeSQL, webhook, milli(since))
		return err
	})
	if err != nil {
		return fmt.Errorf("making a webhook known: %w", err)
	}
	return nil
}

// Enqueue implements keys.Store. If power is lost, what it did may be lost with
// it as a whole, and is done again: a message's id is made of what it is about.
//
// Entries of the audit become visible in the order of their numbers, since a
// change has taken its number in the feed before it writes to the audit, and
// holds up all others until it commits.
func (s *Store) Enqueue(ctx context.Context, webhook string, events map[string]string, oldest time.Time) (more bool, err error) {
	err = s.note(ctx, func(tx *sql.Tx) error {
		more, err = s.enqueue(ctx, tx, webhook, events, milli(oldest))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("queueing what a webhook is told: %w", err)
	}
	return more, nil
}

func (s *Store) enqueue(ctx context.Context, tx *sql.Tx, webhook string, events map[string]string, oldest int64) (more bool, err error) {
	var place, now int64
	err = tx.QueryRowContext(ctx, s.atNow(placeSQL)+s.engine.PassLocked, webhook).Scan(&place, &now)
	if errors.Is(err, sql.ErrNoRows) {
		return false, known(ctx, tx, webhook)
	}
	if err != nil {
		return false, err
	}
	behind, err := readBehind(ctx, tx, place)
	if err != nil || len(behind) == 0 {
		return false, err
	}
	rows := NewRows("webhook_deliveries", deliveryColumns, len(behind))
	for _, e := range behind {
		if event := events[e.action]; event != "" && e.at >= oldest {
			rows.Add(deliveryID(webhook, e), webhook, e.n, event, e.at, int64(0), int64(0), now, int64(0), nil, int64(0), "")
		}
	}
	if _, err := s.engine.Insert(ctx, tx, rows); err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, moveSQL, behind[len(behind)-1].n, webhook)
	return len(behind) == enqueuedAtOnce, err
}

// known returns an error unless the webhook is known: then another node is
// making its deliveries.
func known(ctx context.Context, tx *sql.Tx, webhook string) error {
	var known bool
	if err := tx.QueryRowContext(ctx, knownSQL, webhook).Scan(&known); err != nil {
		return err
	}
	if !known {
		return keys.ErrNoSuchWebhook
	}
	return nil
}

// entryBehind is an entry of the audit that deliveries are to be made of.
type entryBehind struct {
	n, at       int64
	action, key string
}

func readBehind(ctx context.Context, tx *sql.Tx, place int64) (behind []entryBehind, err error) {
	rows, err := tx.QueryContext(ctx, behindSQL, place, enqueuedAtOnce)
	if err != nil {
		return nil, err
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		var e entryBehind
		if err := rows.Scan(&e.n, &e.at, &e.action, &e.key); err != nil {
			return nil, err
		}
		behind = append(behind, e)
	}
	return behind, nil
}

// deliveryID is the same whenever it is made of the same entry for the same
// webhook. Ids of keys are random, so that two stores have none in common.
func deliveryID(webhook string, e entryBehind) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %d %d %q %q", webhook, e.n, e.at, e.action, e.key))
	return "msg_" + hex.EncodeToString(sum[:16])
}

// Due implements keys.Store.
func (s *Store) Due(ctx context.Context, webhook string) (keys.Due, error) {
	var behind bool
	var wait sql.NullInt64
	err := s.engine.Read.QueryRowContext(ctx, s.atNow(dueSQL), webhook).Scan(&behind, &wait)
	if errors.Is(err, sql.ErrNoRows) {
		return keys.Due{}, keys.ErrNoSuchWebhook
	}
	if err != nil {
		return keys.Due{}, fmt.Errorf("asking what a webhook waits for: %w", err)
	}
	return keys.Due{Behind: behind, Waits: wait.Valid, After: duration(max(0, wait.Int64))}, nil
}
