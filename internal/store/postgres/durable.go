package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// A server, a database or a role may be set up not to wait for the disk when
// it commits (synchronous_commit=off). A change that was acknowledged must
// survive power loss all the same, so changes wait. What else an operator may
// have chosen, such as to wait for a standby too, stays.
const (
	durableSessionSQL = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`
	durableChangeSQL  = `SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`
)

// durable makes all changes on a connection wait for the disk. Behind a pooler
// each change says it for itself: there nothing may be kept on a connection.
func (s *start) durable(ctx context.Context, conn *pgx.Conn) error {
	if s.pooled.Load() {
		return nil
	}
	_, err := conn.Exec(ctx, durableSessionSQL)
	return err
}
