package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

// gramIndex finds keys by text with an FTS5 table of grams: the runs of three
// characters that stand in a key's text. Whoever contains a text contains its
// grams, so the rows that have all of them are few, and come newest first
// without sorting: with a million keys 1 to 30 ms, where looking at every key
// takes 200 and more.
//
// FTS5's own trigram tokenizer would do the same for texts of three and more
// characters, but folds letter case in its own way and its index is half as
// large again (518 against 369 MB).
type gramIndex struct{}

const (
	putGramsSQL    = `INSERT OR REPLACE INTO key_grams (rowid, grams) VALUES ($1, $2)`
	deleteGramsSQL = `DELETE FROM key_grams WHERE rowid = $1`
)

// Put implements sqlstore.TextIndex.
func (gramIndex) Put(ctx context.Context, tx *sql.Tx, n int64, text string) error {
	var tokens []string
	for _, field := range sqlstore.Fields(text) {
		tokens = append(tokens, gramsToKeep(field)...)
	}
	slices.Sort(tokens)
	tokens = slices.Compact(tokens) // a long text has many twice
	if _, err := tx.ExecContext(ctx, putGramsSQL, n, strings.Join(tokens, " ")); err != nil {
		return fmt.Errorf("indexing the text of a key: %w", err)
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

// askedGrams is how many grams at either end of a text are asked for. With
// one fewer, a text whose other grams every key has would be looked for in
// every key; one more costs at most some 5 ms among a million keys.
const askedGrams = 12

// Candidates implements sqlstore.TextIndex.
func (gramIndex) Candidates(text string) (argument any, sql func(argument, before string) string, ok bool) {
	tokens := gramsToAsk(text)
	if len(tokens) == 0 {
		return nil, nil, false
	}
	return `"` + strings.Join(tokens, `" AND "`) + `"`, candidatesSQL, true
}

// candidatesSQL joins by CROSS JOIN, which makes SQLite take the tables in
// this order, and orders by the first one's number, which it has in order.
func candidatesSQL(argument, before string) string {
	return `SELECT g.rowid AS n FROM key_grams g CROSS JOIN keys k ON k.n = g.rowid
		WHERE g.key_grams MATCH ` + argument + ` AND g.rowid < ` + before
}

// idHead is what ids begin with, in grams that every key has: they say nothing
// and are not kept. idAge is how many digits after it stay the same for 49
// days; grams of these are kept, but not asked for where there are others.
const (
	idHead = "key_"
	idAge  = 4
)

// gramsToAsk returns tokens that every key has that contains text, or none if
// the index doesn't know.
func gramsToAsk(text string) []string {
	runes := []rune(text)
	if len(runes) < 3 {
		return gramsOf(text, len(runes))
	}
	if digits, ok := strings.CutPrefix(text, idHead); ok && len(digits) >= idAge+3 {
		text = digits[idAge:]
	}
	tokens := gramsOf(text, 3)
	if len(tokens) > 2*askedGrams {
		tokens = append(tokens[:askedGrams], tokens[len(tokens)-askedGrams:]...)
	}
	slices.Sort(tokens)
	return slices.Compact(tokens)
}

// gramsToKeep returns the tokens of a field. Runs of three characters are
// kept, and shorter ones for texts that are shorter.
func gramsToKeep(field string) []string {
	return slices.Concat(gramsOf(field, 3), gramsOf(field, 2), gramsOf(field, 1))
}

// gramsOf returns the tokens of the runs of size characters in text: their
// UTF-8 in hexadecimal, so that the tokenizer leaves them alone. Runs shorter
// than three are left out if they are plain: those stand in so many ids that
// looking at the newest keys finds a page of them at once.
func gramsOf(text string, size int) []string {
	var tokens []string
	runes := []rune(text)
	for i := 0; i+size <= len(runes); i++ {
		gram := string(runes[i : i+size])
		if strings.Contains(idHead, gram) || (size < 3 && isPlain(gram)) {
			continue
		}
		tokens = append(tokens, hex.EncodeToString([]byte(gram)))
	}
	return tokens
}

// isPlain reports whether text has only characters that ids and prefixes have.
func isPlain(text string) bool {
	return strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}
