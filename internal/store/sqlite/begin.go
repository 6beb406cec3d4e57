package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// writerWait is how long a change waits while another process writes, unless
// its context ends before.
const writerWait = 5 * time.Second

// begin starts a write transaction.
func (p *pools) begin(ctx context.Context) (*sql.Tx, error) {
	return retryBusy(ctx, p.wait, func() (*sql.Tx, error) { return p.write.BeginTx(ctx, nil) })
}

// retryBusy repeats try while another process has the lock that it needs.
// SQLite's own wait ignores contexts, so it is short, and repeated here.
func retryBusy[T any](ctx context.Context, most time.Duration, try func() (T, error)) (T, error) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = time.Millisecond, 20*time.Millisecond
	result, err := backoff.Retry(ctx, func() (T, error) {
		result, err := try()
		if err != nil && !isBusy(err) {
			return result, backoff.Permanent(err)
		}
		return result, err
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(most))
	if isBusy(err) {
		return result, fmt.Errorf("another process keeps the database locked: %w", err)
	}
	return result, err
}

func isBusy(err error) bool {
	var fault *sqlite.Error
	return errors.As(err, &fault) && fault.Code()&0xff == sqlite3.SQLITE_BUSY
}
