package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

// Without AUTOINCREMENT's own table there is no key yet.
const numbersSQL = `SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'keys'`

// numbers returns the first free number. SQLite takes notice of rows that
// bring a number of their own, so it gives none out twice.
func numbers(ctx context.Context, tx *sql.Tx, _ int) (first int64, err error) {
	err = tx.QueryRowContext(ctx, numbersSQL).Scan(&first)
	return first, err
}

// insert writes rows one by one: asking SQLite is a call, not a journey.
func insert(ctx context.Context, tx *sql.Tx, rows sqlstore.Rows) (written int64, err error) {
	if len(rows.Values) == 0 {
		return 0, nil
	}
	stmt, err := tx.PrepareContext(ctx, insertSQL(rows))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	for _, values := range rows.Values {
		done, err := stmt.ExecContext(ctx, values...)
		if err != nil {
			return written, err
		}
		n, err := done.RowsAffected()
		if err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

func insertSQL(rows sqlstore.Rows) string {
	parameters := make([]string, len(rows.Columns))
	for i := range parameters {
		parameters[i] = fmt.Sprintf("$%d", i+1)
	}
	// names of tables and columns are this program's
	return `INSERT INTO ` + rows.Table + ` (` + rows.Names() + `) VALUES (` + strings.Join(parameters, ", ") + `) ` + rows.OnConflict()
}

const useSQL = `UPDATE keys SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $1)`

// use records when keys were last used.
func use(ctx context.Context, tx *sql.Tx, ids []string, at []int64) (err error) {
	stmt, err := tx.PrepareContext(ctx, useSQL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	for i, id := range ids {
		if _, err := stmt.ExecContext(ctx, at[i], id); err != nil {
			return err
		}
	}
	return nil
}
