package postgres

import (
	"context"
	"database/sql"
)

// Rows that bring their own number are not counted by what gives numbers out.
const (
	renumberKeysSQL  = `UPDATE counters SET keys = greatest(keys, (SELECT coalesce(max(n), 0) FROM keys))`
	renumberAuditSQL = `SELECT setval(pg_get_serial_sequence('audit', 'n'), greatest(1, (SELECT max(n) FROM audit)), EXISTS (SELECT 1 FROM audit))`
)

func renumber(ctx context.Context, tx *sql.Tx) error {
	for _, text := range []string{renumberKeysSQL, renumberAuditSQL} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// unhurry lifts the limits that keep a slow or absent node from holding up the
// others: a million keys take minutes.
func unhurry(ctx context.Context, tx *sql.Tx) error {
	for _, text := range []string{`SET LOCAL statement_timeout = 0`, `SET LOCAL idle_in_transaction_session_timeout = 0`} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// wake tells the nodes that run on the database already, when tx commits.
func wake(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `SELECT pg_notify('keywarden_changes', seq::text) FROM counters`)
	return err
}
