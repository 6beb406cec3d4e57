// Package sqlstore implements keys.Store over database/sql, once for all
// engines: the text of the queries, the rows, the transactions, the paging.
// What an engine does in its own way (opening, locking, searching text,
// noticing other processes' changes) comes in through Engine.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// defaultMaxChanges is how many changes the feed keeps if nobody says: at one
// change a second, a node may be away for a day.
const defaultMaxChanges = 100_000

// Engine is what differs between databases.
type Engine struct {
	// Read answers queries; Write makes changes. They may be the same.
	Read, Write *sql.DB
	// Lookup answers Find alone, so that nothing that takes long, such as
	// counting keys, can hold up requests.
	Lookup *sql.DB
	// Begin starts a transaction on Write, when it is its turn.
	Begin func(ctx context.Context) (*sql.Tx, error)
	// Note runs do in a transaction on Write that need not survive power
	// loss, so that it need not wait for the disk; nil: in one like others.
	Note func(ctx context.Context, do func(*sql.Tx) error) error
	// Now is an expression: the database's clock in Unix milliseconds.
	Now string
	// Index keeps the engine's own index of searchable text, if it has one.
	Index TextIndex
	// Using tells the planner to use an index: what stands behind a table's
	// alias in FROM, or "".
	Using func(index string) string
	// Contains is a condition: column holds the text that stands at the
	// parameter.
	Contains func(column, parameter string) string
}

// TextIndex finds keys by text that they contain. The text has been through
// Fold, and so has what is looked for.
type TextIndex interface {
	// Put makes the row n findable by its text, whatever it was before.
	Put(ctx context.Context, tx *sql.Tx, n int64, text string) error
	// Delete forgets the row n.
	Delete(ctx context.Context, tx *sql.Tx, n int64) error
	// Candidates returns a select of the numbers of at least all keys k that
	// contain text, newest first without sorting, and its argument; the two
	// parameters of the select stand for the argument, and for the number
	// below which it begins. ok is false if the index can't help.
	Candidates(text string) (argument any, sql func(argument, before string) string, ok bool)
}

// Store is a keys.Store without AwaitChange, which engines add.
type Store struct {
	engine     Engine
	options    keys.Options
	find       *sql.Stmt
	maxChanges int64
}

// New returns a store over a database whose tables are there. The engine's
// databases stay the caller's to close.
func New(ctx context.Context, e Engine, o keys.Options) (*Store, error) {
	find, err := e.Lookup.PrepareContext(ctx, findSQL)
	if err != nil {
		return nil, fmt.Errorf("preparing the look-up of secrets: %w", err)
	}
	s := &Store{engine: e, options: o, find: find, maxChanges: int64(o.MaxChanges)}
	if s.maxChanges <= 0 {
		s.maxChanges = defaultMaxChanges
	}
	return s, nil
}

// Ping implements keys.Store.
func (s *Store) Ping(ctx context.Context) error {
	if _, err := s.LastSeq(ctx); err != nil {
		return fmt.Errorf("asking the store: %w", err)
	}
	return nil
}

// Close ends what New began.
func (s *Store) Close() error { return s.find.Close() }

// closeRows ends a result; what went wrong while reading it counts more than
// what went wrong while closing it.
func closeRows(rows *sql.Rows, err *error) {
	*err = errors.Join(*err, rows.Err(), rows.Close())
}
