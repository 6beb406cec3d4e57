package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// clock is SQLite's own: that of the machine, which all processes with the
// file share.
const clock = `CAST(unixepoch('subsec') * 1000 AS INTEGER)`

// note runs do in a transaction that does not wait for the disk. It is for
// what nodes say of themselves, every few seconds and after each change: a
// power cut may take that away, and takes the node with it. The database
// stays whole all the same (https://sqlite.org/pragma.html#pragma_synchronous:
// in WAL mode NORMAL is consistent), and a change that is written later takes
// it to the disk with itself.
//
// It is the writer's connection that is used: with another one, changes of
// this process would meet the lock and have to come back.
func (p *pools) note(ctx context.Context, do func(*sql.Tx) error) error {
	_, err := retryBusy(ctx, p.wait, func() (any, error) { return nil, p.noteOnce(ctx, do) })
	return err
}

func (p *pools) noteOnce(ctx context.Context, do func(*sql.Tx) error) (err error) {
	conn, err := p.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, `PRAGMA synchronous = NORMAL`); err != nil {
		return err
	}
	defer func() {
		// Changes must find the connection as it was, or not at all.
		if _, broken := conn.ExecContext(context.WithoutCancel(ctx), `PRAGMA synchronous = FULL`); broken != nil {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // which is what makes the pool drop it
			err = errors.Join(err, broken)
		}
	}()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback() // the first error is the one that matters
		return err
	}
	return tx.Commit()
}
