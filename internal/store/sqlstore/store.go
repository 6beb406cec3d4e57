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
	// Feed answers what the change feed asks; nil: Read does.
	Feed *sql.DB
	// Lookup answers FindSQL with a digest, on connections of its own, so
	// that nothing that takes long, such as counting keys, can hold up requests.
	Lookup func(ctx context.Context, digest []byte) Row
	// LookupMany answers with ManyColumns of secrets s and their keys k, for
	// these digests, on the same connections; one by one, whatever the planner
	// believes of how many there are.
	LookupMany func(ctx context.Context, digests [][]byte) (*sql.Rows, error)
	// Begin starts a transaction on Write, when it is its turn.
	Begin func(ctx context.Context) (*sql.Tx, error)
	// Note runs do in a transaction on Write that need not survive power
	// loss, so that it need not wait for the disk; nil: in one like others.
	Note func(ctx context.Context, do func(*sql.Tx) error) error
	// Now is an expression: the database's clock in Unix milliseconds.
	Now string
	// Numbers returns the first of count numbers for new keys.
	Numbers func(ctx context.Context, tx *sql.Tx, count int) (first int64, err error)
	// Renumber makes numbers that are given out from now on higher than all
	// that are there: rows were inserted with numbers of their own. nil where
	// the engine takes notice of those by itself.
	Renumber func(ctx context.Context, tx *sql.Tx) error
	// Unhurry lifts the limits of time that a transaction has, for one that
	// copies a whole database; nil where it has none.
	Unhurry func(ctx context.Context, tx *sql.Tx) error
	// Wake wakes the nodes that wait for changes when tx commits, where the
	// numbers of changes were moved without one; nil where they look by themselves.
	Wake func(ctx context.Context, tx *sql.Tx) error
	// Insert writes rows, in their order, and returns how many it wrote. What
	// becomes of those whose primary key is there already, Rows.Known says.
	Insert func(ctx context.Context, tx *sql.Tx, rows Rows) (written int64, err error)
	// Use records when the keys with these ids were last used, but no
	// earlier time than the stored one.
	Use func(ctx context.Context, tx *sql.Tx, ids []string, at []int64) error
	// Using tells the planner to use an index: what stands behind a table's
	// alias in FROM, or "".
	Using func(index string) string
	// Contains is a condition: column holds the text that stands at the
	// parameter.
	Contains func(column, parameter string) string
	// Owned is a condition: the column, an owner, is the text that stands at
	// the parameter. It is what keys_owner indexes.
	Owned func(column, parameter string) string
	// Orders are, by index, the values that it has keys k in the order of.
	Orders map[string]string
	// Among is a condition: column holds one of the texts, or numbers, of a
	// list, which is the argument that stands at the parameter.
	Among func(column, parameter string, list any) (condition string, argument any)
	// Few is the number of a row, selected from rows of which there are few,
	// whatever the planner believes: it may sort them, but not look for them
	// in the order of their numbers.
	Few func(column string) string
	// Arm is one of several selects of numbers, of which together at most the
	// greatest are asked for, as many as the parameter says.
	Arm func(text, most string) string
	// Postings is all parts p of the index of texts, joined with those of their
	// rows t that the condition asks for, whatever the planner believes: part by
	// part, by the primary key. A WHERE ends it, to which AND may be added.
	Postings func(condition string) string
	// PassLocked ends a select for an update that must not wait for rows
	// which other transactions are changing; "" where there are no others.
	PassLocked string
	// Text is the argument for a text that is looked for: nil if the engine
	// can't keep such a text, so that nothing is found.
	Text func(text string) any
}

// Row is what a query for one row gives.
type Row interface{ Scan(dest ...any) error }

// Store is a keys.Store without AwaitChange, which engines add.
type Store struct {
	engine     Engine
	options    keys.Options
	maxChanges int64
	rights     *rights
	walked     int // at most of an order's keys, for a page
}

// New returns a store over a database whose tables are there, or will be when
// the engine's databases answer. These stay the caller's to close.
func New(e Engine, o keys.Options) *Store {
	if e.Feed == nil {
		e.Feed = e.Read
	}
	s := &Store{engine: e, options: o, maxChanges: int64(o.MaxChanges), rights: newRights(), walked: mostLooked}
	if s.maxChanges <= 0 {
		s.maxChanges = defaultMaxChanges
	}
	return s
}

// Ping implements keys.Store.
func (s *Store) Ping(ctx context.Context) error {
	if _, err := s.LastSeq(ctx); err != nil {
		return fmt.Errorf("asking the store: %w", err)
	}
	return nil
}

// closeRows ends a result; what went wrong while reading it counts more than
// what went wrong while closing it.
func closeRows(rows *sql.Rows, err *error) {
	*err = errors.Join(*err, rows.Err(), rows.Close())
}
