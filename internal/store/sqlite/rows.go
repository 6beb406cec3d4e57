package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
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

// together is how many rows one statement writes: what a statement costs by
// itself is then little beside its rows.
const together = 32

// insert writes rows, some with each statement: asking SQLite is a call, not a
// journey, but not for nothing.
func insert(ctx context.Context, tx *sql.Tx, rows sqlstore.Rows) (written int64, err error) {
	full := len(rows.Values) / together * together
	written, err = insertBy(ctx, tx, rows, rows.Values[:full], together)
	if err != nil {
		return written, err
	}
	n, err := insertBy(ctx, tx, rows, rows.Values[full:], 1)
	return written + n, err
}

// insertBy writes values with a statement for each so many of them.
func insertBy(ctx context.Context, tx *sql.Tx, rows sqlstore.Rows, values [][]any, some int) (written int64, err error) {
	if len(values) == 0 {
		return 0, nil
	}
	stmt, err := tx.PrepareContext(ctx, insertSQL(rows, some))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	args := make([]any, 0, some*len(rows.Columns))
	for chunk := range slices.Chunk(values, some) {
		args = args[:0]
		for _, row := range chunk {
			args = append(args, row...)
		}
		done, err := execRow(ctx, stmt, args...)
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

// execRow executes a statement that is over in microseconds. The driver starts
// a goroutine for each whose context may end, which is a quarter of what writing
// a row costs; looking between two rows does as well.
func execRow(ctx context.Context, stmt *sql.Stmt, values ...any) (sql.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return stmt.ExecContext(context.WithoutCancel(ctx), values...)
}

func insertSQL(rows sqlstore.Rows, some int) string {
	row := `(` + strings.TrimSuffix(strings.Repeat(`?, `, len(rows.Columns)), `, `) + `), `
	// names of tables and columns are this program's
	return `INSERT INTO ` + rows.Table + ` (` + rows.Names() + `) VALUES ` + strings.TrimSuffix(strings.Repeat(row, some), `, `) + ` ` + rows.OnConflict()
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
		if _, err := execRow(ctx, stmt, at[i], id); err != nil {
			return err
		}
	}
	return nil
}
