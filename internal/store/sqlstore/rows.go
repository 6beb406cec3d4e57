package sqlstore

import (
	"context"
	"fmt"
	"strings"
)

// Type is what a column holds.
type Type int

// The types of columns. Times and flags are integers, JSON is a string.
const (
	Integer Type = iota
	String
	Bytes
)

// Column is a column of rows to be inserted.
type Column struct {
	Name string
	Type Type
}

// Rows are to be inserted into one table, together: an import of 10 000 keys
// takes too long if each row is asked for over a network.
type Rows struct {
	Table   string
	Columns []Column
	// Known says what becomes of a row whose primary key is there already;
	// "": nothing is written.
	Known string
	// Values are the rows; a value is an int64, a string, a []byte or nil.
	Values [][]any
}

// NewRows returns no rows, with room for count.
func NewRows(table string, columns []Column, count int) Rows {
	return Rows{Table: table, Columns: columns, Values: make([][]any, 0, count)}
}

// Add adds a row, with a value for each column.
func (r *Rows) Add(values ...any) { r.Values = append(r.Values, values) }

// Names returns the names of the columns as they stand in an INSERT.
func (r *Rows) Names() string {
	names := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

// OnConflict ends an INSERT of the rows.
func (r *Rows) OnConflict() string {
	if r.Known == "" {
		return "ON CONFLICT DO NOTHING"
	}
	return r.Known
}

// insert writes rows of which none is there already.
func (c *change) insert(ctx context.Context, rows Rows) error {
	written, err := c.store.engine.Insert(ctx, c.Tx, rows)
	if err != nil {
		return fmt.Errorf("writing to %s: %w", rows.Table, err)
	}
	if written != int64(len(rows.Values)) {
		return fmt.Errorf("writing to %s: %d of %d rows are there already", rows.Table, int64(len(rows.Values))-written, len(rows.Values))
	}
	return nil
}
