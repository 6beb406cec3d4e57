package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

// clock is the server's, at the beginning of the statement.
const clock = `CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT)`

func (p *pools) engine() sqlstore.Engine {
	return sqlstore.Engine{
		Read: p.adminDB, Write: p.adminDB, Feed: p.feedDB, Lookup: p.find, Begin: p.begin, Note: p.note, Now: clock,
		Numbers: numbers, Renumber: renumber, Insert: insert, Use: recordUse, Index: gramIndex{}, Unhurry: unhurry,
		Using: func(string) string { return "" }, Contains: contains, Owned: owned, Among: among, Arm: arm, PassLocked: "FOR NO KEY UPDATE SKIP LOCKED", Text: text,
	}
}

// find looks a secret up: one round trip.
func (p *pools) find(ctx context.Context, digest []byte) sqlstore.Row {
	return &look{ctx, p.lookup, digest}
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

// insert writes all rows by one statement: each column is an array.
func insert(ctx context.Context, tx *sql.Tx, rows sqlstore.Rows) (int64, error) {
	if len(rows.Values) == 0 {
		return 0, nil
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

// arm is limited by itself, or all of it would be read before the first.
func arm(text, most string) string { return "(" + text + " ORDER BY 1 DESC LIMIT " + most + ")" }

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

// gramIndex finds keys by text with a GIN index of the hashes of grams. The
// planner knows from statistics how frequent a gram is, and either takes the
// few keys that have all of them, or looks at the newest keys one by one.
type gramIndex struct{}

const (
	putGramsSQL    = `INSERT INTO key_grams (n, grams) VALUES ($1, $2) ON CONFLICT (n) DO UPDATE SET grams = excluded.grams`
	deleteGramsSQL = `DELETE FROM key_grams WHERE n = $1`
	putAllGramsSQL = `INSERT INTO key_grams (n, grams) SELECT t.n, t.grams::integer[] FROM unnest($1::bigint[], $2::text[]) t (n, grams)`
)

// Put implements sqlstore.TextIndex.
func (gramIndex) Put(ctx context.Context, tx *sql.Tx, texts ...sqlstore.Text) error {
	var err error
	if len(texts) == 1 {
		_, err = tx.ExecContext(ctx, putGramsSQL, texts[0].N, hashes(sqlstore.GramsToKeep(texts[0].Text)))
	} else {
		numbers, arrays := make([]int64, len(texts)), make([]string, len(texts))
		for i, t := range texts {
			numbers[i], arrays[i] = t.N, arrayText(hashes(sqlstore.GramsToKeep(t.Text)))
		}
		_, err = tx.ExecContext(ctx, putAllGramsSQL, numbers, arrays)
	}
	if err != nil {
		return fmt.Errorf("indexing the text of keys: %w", err)
	}
	return nil
}

// Delete implements sqlstore.TextIndex.
func (gramIndex) Delete(ctx context.Context, tx *sql.Tx, n int64) error {
	if _, err := tx.ExecContext(ctx, deleteGramsSQL, n); err != nil {
		return fmt.Errorf("forgetting the text of a key: %w", err)
	}
	return nil
}

// Candidates implements sqlstore.TextIndex.
func (gramIndex) Candidates(text string) (argument any, sql func(argument, before string) string, ok bool) {
	grams := sqlstore.GramsToAsk(text)
	if len(grams) == 0 {
		return nil, nil, false
	}
	return hashes(grams), candidatesSQL, true
}

func candidatesSQL(argument, before string) string {
	return `SELECT g.n FROM key_grams g JOIN keys k ON k.n = g.n WHERE g.grams @> ` + argument + `::integer[] AND g.n < ` + before
}

// hashes returns grams as numbers, which take a third of the room. Two grams
// that share one make a candidate too many.
func hashes(grams []string) []int32 {
	numbers := make([]int32, len(grams))
	for i, gram := range grams {
		h := uint32(2166136261) // FNV-1a; hash/fnv allocates for each
		for j := range len(gram) {
			h = (h ^ uint32(gram[j])) * 16777619
		}
		numbers[i] = int32(h) //nolint:gosec // G115: any number will do
	}
	return numbers
}

// arrayText returns an array as Postgres writes it: an array of arrays would
// need them to be of one length.
func arrayText(numbers []int32) string {
	text := make([]byte, 0, 12*len(numbers)+2)
	text = append(text, '{')
	for i, n := range numbers {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(n), 10)
	}
	return string(append(text, '}'))
}
