package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

// clock is the server's, at the beginning of the statement.
const clock = `CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT)`

func (p *pools) engine() sqlstore.Engine {
	return sqlstore.Engine{
		Read: p.adminDB, Write: p.adminDB, Feed: p.feedDB, Lookup: p.find, LookupMany: p.findMany, Begin: p.begin, Note: p.note, Now: clock,
		Numbers: numbers, Renumber: renumber, Insert: insert, Use: recordUse, Among: among, Unhurry: unhurry, Wake: wake, Orders: orders,
		Using: func(string) string { return "" }, Contains: contains, Owned: owned, Few: few, Arm: arm, Postings: postings, PassLocked: "FOR NO KEY UPDATE SKIP LOCKED", Text: text,
	}
}

// find looks a secret up: one round trip.
func (p *pools) find(ctx context.Context, digest []byte) sqlstore.Row {
	return &look{ctx, p.lookup, digest}
}

// findManySQL looks for each digest by itself: where there are few secrets, or
// the server has not counted them yet, it would read them all.
const findManySQL = `SELECT f.* FROM unnest($1::bytea[]) d (digest), LATERAL (SELECT ` + sqlstore.ManyColumns + `
	FROM secrets s JOIN keys k ON k.n = s.key_n WHERE s.digest = d.digest OFFSET 0) f`

// findMany looks many secrets up: one round trip.
func (p *pools) findMany(ctx context.Context, digests [][]byte) (*sql.Rows, error) {
	return p.lookupDB.QueryContext(ctx, findManySQL, digests)
}

// look is a look-up that is asked when it is scanned.
type look struct {
	ctx    context.Context
	pool   *pgxpool.Pool
	digest []byte
}

// Scan asks, and asks once more if the connection turned out to be dead: after
// a restart of the server all that are open are.
func (l *look) Scan(dest ...any) error {
	err := l.pool.QueryRow(l.ctx, sqlstore.FindSQL, l.digest).Scan(dest...)
	if lost(err) && l.ctx.Err() == nil {
		l.pool.Reset()
		err = l.pool.QueryRow(l.ctx, sqlstore.FindSQL, l.digest).Scan(dest...)
	}
	return plain(err)
}

// begin starts a change. Changes wait for each other, and each must see what
// the one before it did: that is what READ COMMITTED says.
func (p *pools) begin(ctx context.Context) (*sql.Tx, error) {
	tx, err := p.adminDB.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return nil, plain(err)
	}
	if p.start.pooled.Load() {
		if _, err := tx.ExecContext(ctx, durableChangeSQL); err != nil {
			_ = tx.Rollback() // the first error is the one that matters
			return nil, plain(err)
		}
	}
	return tx, nil
}

// note runs do in a transaction that does not wait for the disk.
func (p *pools) note(ctx context.Context, do func(*sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	tx, err := p.begin(ctx)
	if err != nil {
		return err
	}
	if _, err = tx.ExecContext(ctx, `SET LOCAL synchronous_commit = off`); err == nil {
		err = do(tx)
	}
	if err != nil {
		_ = tx.Rollback() // the first error is the one that matters
		return err
	}
	return tx.Commit()
}

const numbersSQL = `UPDATE counters SET keys = keys + $1 RETURNING keys`

func numbers(ctx context.Context, tx *sql.Tx, count int) (first int64, err error) {
	var last int64
	if err := tx.QueryRowContext(ctx, numbersSQL, int64(count)).Scan(&last); err != nil {
		return 0, err
	}
	return last - int64(count) + 1, nil
}

// insert writes many rows by COPY, and few by one statement, in which each
// column is an array.
func insert(ctx context.Context, tx *sql.Tx, rows sqlstore.Rows) (int64, error) {
	if len(rows.Values) == 0 {
		return 0, nil
	}
	if len(rows.Values) >= copied && rows.Known == "" {
		if written, ok, err := copyInto(ctx, tx, rows); ok || err != nil {
			return written, err
		}
	}
	arrays := make([]string, len(rows.Columns))
	args := make([]any, len(rows.Columns))
	for i, c := range rows.Columns {
		switch c.Type {
		case sqlstore.Integer:
			arrays[i], args[i] = fmt.Sprintf("$%d::bigint[]", i+1), column[int64](rows, i)
		case sqlstore.String:
			arrays[i], args[i] = fmt.Sprintf("$%d::text[]", i+1), column[string](rows, i)
		case sqlstore.Bytes:
			arrays[i], args[i] = fmt.Sprintf("$%d::bytea[]", i+1), column[[]byte](rows, i)
		}
	}
	//nolint:gosec // G202: names of tables and columns are this program's
	done, err := tx.ExecContext(ctx, `INSERT INTO `+rows.Table+` (`+rows.Names()+`) SELECT * FROM unnest(`+strings.Join(arrays, ", ")+`) `+rows.OnConflict(), args...)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

// column returns the values of one column; nil stands for NULL.
func column[T any](rows sqlstore.Rows, i int) []*T {
	values := make([]*T, len(rows.Values))
	for j, row := range rows.Values {
		if value, ok := row[i].(T); ok {
			values[j] = &value
		}
	}
	return values
}

// Rows are locked in the order of their numbers, so that two nodes that
// record uses of the same keys wait for each other and don't deadlock.
const useSQL = `UPDATE keys k SET last_used_at = u.at FROM (
		SELECT k.n, u.at FROM unnest($1::text[], $2::bigint[]) u (id, at) JOIN keys k ON k.id = u.id
		WHERE k.last_used_at IS NULL OR k.last_used_at < u.at ORDER BY k.n FOR NO KEY UPDATE OF k
	) u WHERE k.n = u.n`

func recordUse(ctx context.Context, tx *sql.Tx, ids []string, at []int64) error {
	_, err := tx.ExecContext(ctx, useSQL, ids, at)
	return err
}

func contains(column, parameter string) string {
	return "strpos(" + column + ", " + parameter + ") > 0"
}

// few hides from the planner that an index has the numbers in order: it does
// not know that hardly any key is noted as live and expired all the same, and
// would look through all live ones, newest first.
func few(column string) string { return column + " + 0" }

// arm is limited by itself, or all of it would be read before the first.
func arm(text, most string) string { return "(" + text + " ORDER BY 1 DESC LIMIT " + most + ")" }

// postings must not be left to the planner: in the minute after a large import,
// when the server has not counted the rows yet, it would read all of them, which
// takes six times as long. A subquery with an OFFSET stays one.
func postings(condition string) string {
	return `text_parts p CROSS JOIN LATERAL (SELECT t.bucket, t.postings FROM text_postings t WHERE t.part = p.part AND ` + condition + ` OFFSET 0) t WHERE TRUE`
}

// orders are the expressions that are indexed, to the letter.
var orders = map[string]string{
	"keys_owner": "left(k.owner, 200)", "keys_by_name": "substr(k.search, 1, 100)",
	"keys_by_expiry": "coalesce(k.expires_at, 9223372036854775807)", "keys_unused": "k.used_day",
}

func owned(column, parameter string) string {
	return "left(" + column + ", 200) = left(" + parameter + ", 200) AND " + column + " = " + parameter
}

func among(column, parameter string, list any) (string, any) {
	kind := "text"
	if _, ok := list.([]int64); ok {
		kind = "bigint"
	}
	return column + " = ANY (" + parameter + "::" + kind + "[])", list
}

// text returns nil for what no text of the database can be: it has a NUL, or
// is not UTF-8.
func text(t string) any {
	if strings.ContainsRune(t, 0) || !utf8.ValidString(t) {
		return nil
	}
	return t
}
