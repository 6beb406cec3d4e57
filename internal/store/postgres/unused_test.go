package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// An index that every use of a key had to change would make the most frequent
// write of all several times as dear: the first use of a day changes the index of
// unused keys, and no other one does (heap-only tuples).
func TestNotingAUseTouchesNoIndexButOnceADay(t *testing.T) {
	t.Parallel()
	// While a transaction takes long, be it in another database, a server makes
	// no room on pages: other tests have many of those.
	address := pgtest.Start(t, pgtest.Options{}).Database(t)
	s := openTest(t, address, Options{})
	conn := pgtest.Connect(t, address)
	ks := make([]keys.New, 300)
	for i := range ks {
		ks[i] = testKey("a")
	}
	create(t, s, ks...)
	noon := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	touch := func(at time.Time) {
		t.Helper()
		used := map[keys.ID]time.Time{}
		for _, k := range ks {
			used[k.Key.ID] = at
		}
		if err := s.Touch(t.Context(), used); err != nil {
			t.Fatal(err)
		}
	}
	touch(noon)
	const uses = 20
	for i := range uses {
		touch(noon.Add(time.Duration(i+1) * time.Second))
	}
	// A server tells what idle connections have done after 10 s.
	eventually(t, time.Minute, func() error {
		var all, within int
		const text = `SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'keys'`
		if err := conn.QueryRow(t.Context(), text).Scan(&all, &within); err != nil {
			return err
		}
		// Where a page has no room left, a row moves to another one all the same,
		// and no room is made while the server gathers statistics of the table.
		// Were an index touched, there would be none.
		if all < (uses+1)*len(ks) || within < uses*len(ks)*3/10 {
			return fmt.Errorf("%d of %d updates touched no index", within, all)
		}
		return nil
	})
}
