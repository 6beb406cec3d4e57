package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

// database/sql knows no COPY, which writes rows in less than half of the time
// that any INSERT takes. So its connections are wrapped: the text copyRows is
// no statement for the server, but says that the argument is rows to be copied.
const copyRows = "keywarden: copy rows"

// bulk is a connection that can copy rows.
type bulk struct{ *stdlib.Conn }

// bulkConnector makes such connections from a pool's.
type bulkConnector struct{ driver.Connector }

// openDB returns a database over a pool, as stdlib.OpenDBFromPool does.
func openDB(pool *pgxpool.Pool) *sql.DB {
	db := sql.OpenDB(bulkConnector{stdlib.GetPoolConnector(pool)})
	db.SetMaxIdleConns(0) // the pool keeps them
	return db
}

// Connect implements driver.Connector.
func (c bulkConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	known, ok := conn.(*stdlib.Conn)
	if !ok {
		return nil, errors.Join(errors.New("the driver's connections are of an unknown kind"), conn.Close())
	}
	return bulk{known}, nil
}

// ExecContext implements driver.ExecerContext.
func (c bulk) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if query != copyRows {
		return c.Conn.ExecContext(ctx, query, args)
	}
	rows, ok := args[0].Value.(sqlstore.Rows)
	if !ok {
		return nil, errors.New("only rows can be copied")
	}
	names := make([]string, len(rows.Columns))
	for i, column := range rows.Columns {
		names[i] = column.Name
	}
	written, err := c.Conn.Conn().CopyFrom(ctx, pgx.Identifier{rows.Table}, names, pgx.CopyFromRows(rows.Values))
	if err != nil {
		return nil, err
	}
	return driver.RowsAffected(written), nil
}

// copied is how many rows are worth a COPY: it takes four round trips.
const copied = 100

const uniqueViolation = "23505"

// copyInto copies rows, of which none must be there already: if one is, ok is
// false, and nothing is written.
func copyInto(ctx context.Context, tx *sql.Tx, rows sqlstore.Rows) (written int64, ok bool, err error) {
	if _, err := tx.ExecContext(ctx, `SAVEPOINT copying`); err != nil {
		return 0, false, err
	}
	done, err := tx.ExecContext(ctx, copyRows, rows)
	if code(err) == uniqueViolation {
		_, err = tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT copying`)
		return 0, false, err
	}
	if err != nil {
		return 0, false, err
	}
	if _, err := tx.ExecContext(ctx, `RELEASE SAVEPOINT copying`); err != nil {
		return 0, false, err
	}
	written, err = done.RowsAffected()
	return written, true, err
}
