package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// deliveryStates by number.
var deliveryStates = []keys.DeliveryState{keys.Pending, keys.Delivered, keys.Failed}

func deliveryState(state keys.DeliveryState) int64 {
	for n, known := range deliveryStates {
		if known == state {
			return int64(n)
		}
	}
	return -1 // which nothing has
}

const (
	dueNowSQL = `SELECT n FROM webhook_deliveries WHERE webhook = $1 AND state = 0 AND next_at <= NOW ORDER BY next_at, n LIMIT $2 `
	leaseSQL  = `UPDATE webhook_deliveries SET attempts = attempts + 1, last_at = NOW, next_at = NOW + $1, leased_until = NOW + $1 WHERE `
	// An attempt has a number: with the lease over, another node may be at the next.
	settleSQL = `UPDATE webhook_deliveries SET state = $1, last_status = $2, last_error = $3, next_at = NOW + $4, leased_until = 0
		WHERE id = $5 AND attempts = $6 AND state = 0`
	redeliverSQL = `UPDATE webhook_deliveries SET state = 0, next_at = CASE WHEN leased_until > NOW THEN next_at ELSE NOW END
		WHERE id = $1 RETURNING n`
	// Rows are in the order of time, so that the oldest stand first.
	pruneDeliveriesSQL = `DELETE FROM webhook_deliveries WHERE at < $1 AND n IN (SELECT n FROM webhook_deliveries ORDER BY n LIMIT $2)`

	deliverySQL = `SELECT d.n, d.id, d.webhook, d.event, d.state, d.attempts, d.next_at, d.last_at, d.last_status, d.last_error,
		a.n, a.at, a.actor, a.action, a.key_id, a.ip, `
	fromDeliveriesSQL = ` FROM webhook_deliveries d JOIN audit a ON a.n = d.audit_n WHERE `

	deliveriesPruned = 1000 // at once
)

// Claim implements keys.Store.
func (s *Store) Claim(ctx context.Context, webhook string, lease time.Duration, limit int) (claimed []keys.Delivery, err error) {
	err = s.note(ctx, func(tx *sql.Tx) error {
		numbers, err := readNumbers(ctx, tx, s.atNow(dueNowSQL)+s.engine.PassLocked, webhook, limit)
		if err != nil || len(numbers) == 0 {
			return err
		}
		condition, list := s.engine.Among("n", "$2", numbers)
		if _, err := tx.ExecContext(ctx, s.atNow(leaseSQL)+condition, lease.Milliseconds(), list); err != nil {
			return err
		}
		condition, list = s.engine.Among("d.n", "$1", numbers)
		claimed, err = readDeliveries(ctx, tx, deliverySQL+`a.before, a.after`+fromDeliveriesSQL+condition+` ORDER BY d.n`, list)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claiming deliveries: %w", err)
	}
	return claimed, nil
}

// Settle implements keys.Store.
func (s *Store) Settle(ctx context.Context, all ...keys.Settled) error {
	err := s.note(ctx, func(tx *sql.Tx) error {
		for _, d := range all {
			r := d.Result
			_, err := tx.ExecContext(ctx, s.atNow(settleSQL), deliveryState(r.State), r.Status, cut(r.Error), r.After.Milliseconds(), d.ID, d.Attempts)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing down what became of deliveries: %w", err)
	}
	return nil
}

// Redeliver implements keys.Store.
func (s *Store) Redeliver(ctx context.Context, id string) (*keys.Delivery, error) {
	var page []keys.Delivery
	err := s.note(ctx, func(tx *sql.Tx) error {
		var n int64
		if err := tx.QueryRowContext(ctx, s.atNow(redeliverSQL), s.engine.Text(id)).Scan(&n); err != nil {
			return err
		}
		var err error
		page, err = readDeliveries(ctx, tx, deliverySQL+`NULL, NULL`+fromDeliveriesSQL+`d.n = $1`, n)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) || err == nil && len(page) == 0 {
		return nil, keys.ErrNoSuchDelivery
	}
	if err != nil {
		return nil, fmt.Errorf("sending a delivery again: %w", err)
	}
	return &page[0], nil
}

// PruneDeliveries implements keys.Store. It removes little at a time, so that no
// change of a key has to wait for it.
func (s *Store) PruneDeliveries(ctx context.Context, before time.Time) error {
	for {
		removed, err := s.doAtNow(ctx, pruneDeliveriesSQL, milli(before), deliveriesPruned)
		if err != nil {
			return fmt.Errorf("forgetting old deliveries: %w", err)
		}
		if removed < deliveriesPruned {
			return nil
		}
	}
}

// Deliveries implements keys.Store.
func (s *Store) Deliveries(ctx context.Context, q keys.DeliveryQuery) ([]keys.Delivery, string, error) {
	before, err := parseCursor(deliveryList, q.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit := pageSize(q.Limit)
	text, args := s.deliveriesSQL(q, before, limit)
	rows, err := s.engine.Read.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, "", fmt.Errorf("reading deliveries: %w", err)
	}
	page, numbers, err := scanDeliveries(rows)
	if err != nil {
		return nil, "", fmt.Errorf("reading deliveries: %w", err)
	}
	if len(page) <= limit {
		return page, "", nil
	}
	return page[:limit], cursor(deliveryList, numbers[limit-1]), nil
}

// deliveriesSQL asks for one more than the page has, which tells whether there
// is a next page.
func (s *Store) deliveriesSQL(q keys.DeliveryQuery, before int64, limit int) (string, []any) {
	conditions, args := []string{"d.n < $1"}, []any{before, limit + 1}
	for _, c := range []struct{ column, value string }{{"d.webhook", q.Webhook}, {"d.event", q.Event}, {"a.key_id", string(q.Key)}} {
		if c.value != "" {
			args = append(args, s.engine.Text(c.value))
			conditions = append(conditions, fmt.Sprintf("%s = $%d", c.column, len(args)))
		}
	}
	if q.State != "" {
		args = append(args, deliveryState(q.State))
		conditions = append(conditions, fmt.Sprintf("d.state = $%d", len(args)))
	}
	return deliverySQL + `NULL, NULL` + fromDeliveriesSQL + strings.Join(conditions, " AND ") + ` ORDER BY d.n DESC LIMIT $2`, args
}

func readDeliveries(ctx context.Context, from *sql.Tx, text string, args ...any) ([]keys.Delivery, error) {
	rows, err := from.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	page, _, err := scanDeliveries(rows)
	return page, err
}

// scanDeliveries reads deliverySQL, with the numbers of the rows.
func scanDeliveries(rows *sql.Rows) (page []keys.Delivery, numbers []int64, err error) {
	defer closeRows(rows, &err)
	for rows.Next() {
		n, d, err := scanDelivery(rows)
		if err != nil {
			return nil, nil, err
		}
		page, numbers = append(page, d), append(numbers, n)
	}
	return page, numbers, nil
}

func scanDelivery(from scanner) (n int64, d keys.Delivery, err error) {
	var (
		state, next, auditN, at int64
		last                    sql.NullInt64
		before, after           sql.NullString
	)
	err = from.Scan(&n, &d.ID, &d.Webhook, &d.Event, &state, &d.Attempts, &next, &last, &d.LastStatus, &d.LastError,
		&auditN, &at, &d.Entry.Actor, &d.Entry.Action, &d.Entry.Key, &d.Entry.IP, &before, &after)
	if err != nil {
		return 0, keys.Delivery{}, err
	}
	if state < 0 || state >= int64(len(deliveryStates)) {
		return 0, keys.Delivery{}, fmt.Errorf("delivery %s has the state %d, which is none", d.ID, state)
	}
	d.State, d.LastAt = deliveryStates[state], fromOptionalMilli(last)
	if d.State == keys.Pending {
		d.NextAt = fromMilli(next)
	}
	d.Entry.ID, d.Entry.At = auditID(auditN), fromMilli(at)
	d.Entry.Before, d.Entry.After = rawJSON(before), rawJSON(after)
	return n, d, nil
}
