package store

import (
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// Gateways that run on the target already hear of a copy at once, as of any
// change.
func TestACopyWakesWhoRunsOnTheTarget(t *testing.T) {
	from, address := newSQLite(t), pgtest.Database(t)
	fill(t, from.open(), 3)
	listener := pgtest.Connect(t, address)
	if _, err := listener.Exec(t.Context(), `LISTEN keywarden_changes`); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), from.address, address, silent); err != nil {
		t.Fatal(err)
	}
	told, err := listener.WaitForNotification(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var last string
	if err := listener.QueryRow(t.Context(), `SELECT seq::text FROM counters`).Scan(&last); err != nil || told.Payload != last {
		t.Errorf("what is heard is %q, the last change %q, %v", told.Payload, last, err)
	}
}
