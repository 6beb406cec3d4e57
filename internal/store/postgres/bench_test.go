package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
	"github.com/caddy-keywarden/keywarden/internal/store/storetest"
)

// million is made once a process, on a durable server.
var (
	million        storetest.Million
	millionAddress string
)

func benchOfMillion(b *testing.B) storetest.Bench {
	b.Helper()
	if millionAddress == "" {
		millionAddress = pgtest.Lasting(b)
	}
	bare := pgtest.Connect(b, millionAddress)
	return storetest.Bench{
		Open: func(tb testing.TB, o keys.Options) keys.Store {
			tb.Helper()
			return openTest(tb, millionAddress, Options{Options: o})
		},
		Settle: func(ctx context.Context) error { return settle(ctx, bare) },
		Fresh: func(tb testing.TB) keys.Store {
			tb.Helper()
			return openTest(tb, pgtest.Lasting(tb), Options{})
		},
		Import: func(ctx context.Context, ks []keys.New) error { return bareImport(ctx, bare, ks) },
		Page:   func(ctx context.Context) error { return barePage(ctx, bare) },
	}
}

func BenchmarkAMillion(b *testing.B) { million.Run(b, benchOfMillion(b)) }

// settle does what the server does by itself within a minute.
func settle(ctx context.Context, conn *pgx.Conn) error {
	for _, text := range []string{`VACUUM ANALYZE`, `CHECKPOINT`} {
		if _, err := conn.Exec(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// bareImport writes what must be kept of keys, with the two indexes that no
// store can do without, in the way that Postgres takes most quickly.
func bareImport(ctx context.Context, conn *pgx.Conn, ks []keys.New) error {
	_, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS bare (n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT UNIQUE, name TEXT, owner TEXT, prefix TEXT, digest BYTEA UNIQUE)`)
	if err != nil {
		return err
	}
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"bare"}, []string{"id", "name", "owner", "prefix", "digest"}, pgx.CopyFromSlice(len(ks), func(i int) ([]any, error) {
		k := &ks[i].Key
		return []any{string(k.ID), k.Name, k.Owner, k.Prefix, ks[i].Digest[:]}, nil
	}))
	return err
}

// barePage reads the newest rows.
func barePage(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT id, name, owner, prefix FROM bare ORDER BY n DESC LIMIT 50`)
	if err != nil {
		return err
	}
	var id, name, owner, prefix string
	_, err = pgx.ForEachRow(rows, []any{&id, &name, &owner, &prefix}, func() error { return nil })
	return err
}

// BenchmarkFindAmongAMillion asks in turn the bare driver for a key's number
// (the floor), the bare driver for what the store asks for, and the store, so
// that whatever else the machine does slows all three.
func BenchmarkFindAmongAMillion(b *testing.B) {
	million.Make(b, benchOfMillion(b))
	s, conn := openTest(b, millionAddress, Options{}), pgtest.Connect(b, millionAddress)
	ask := []func(digest keys.Digest) error{
		func(digest keys.Digest) error {
			var n int64
			return conn.QueryRow(b.Context(), `SELECT key_n FROM secrets WHERE digest = $1`, digest[:]).Scan(&n)
		},
		func(digest keys.Digest) error {
			var (
				id, name, owner, prefix, permissions, admin, sources string
				standing                                             int64
				expires, ends                                        *int64
			)
			return conn.QueryRow(b.Context(), sqlstore.FindSQL, digest[:]).Scan(&id, &name, &owner, &prefix, &permissions, &admin, &standing, &sources, &expires, &ends)
		},
		func(digest keys.Digest) error { _, err := s.Find(b.Context(), digest); return err },
	}
	took := make([][]time.Duration, len(ask))
	for i := 0; b.Loop(); i++ {
		for j, ask := range ask {
			began := time.Now()
			if err := ask(million.Digests[(3*i+j)%len(million.Digests)]); err != nil {
				b.Fatal(err)
			}
			took[j] = append(took[j], time.Since(began))
		}
	}
	for j := range took {
		slices.Sort(took[j])
	}
	p50 := func(j int) float64 { return float64(took[j][len(took[j])/2].Nanoseconds()) }
	b.ReportMetric(p50(0), "floor-ns")
	b.ReportMetric(p50(1), "bare-ns")
	b.ReportMetric(p50(2), "store-ns")
	b.ReportMetric(p50(2)/p50(0), "store/floor")
	b.ReportMetric(p50(2)/p50(1), "store/bare")
}

// BenchmarkUpdate stands beside what any commit takes.
func BenchmarkUpdate(b *testing.B) {
	address := pgtest.Lasting(b)
	s := openTest(b, address, Options{})
	k := testKey("a")
	create(b, s, k)
	b.Run("floor, a commit", func(b *testing.B) {
		conn := pgtest.Connect(b, address)
		for b.Loop() {
			if _, err := conn.Exec(b.Context(), `UPDATE keys SET last_used_at = 1`); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("store", func(b *testing.B) {
		for b.Loop() {
			_, err := s.Update(b.Context(), by(), k.Key.ID, keys.Guard{}, func(k *keys.Key) error { k.Enabled = !k.Enabled; return nil })
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkChangeUntilOthersHear is the time from a commit to when another
// node has read the change, and, in turn, to when a bare connection has heard
// a bare notification: the floor.
func BenchmarkChangeUntilOthersHear(b *testing.B) {
	address := pgtest.Lasting(b)
	s, other := openTest(b, address, Options{}), openTest(b, address, Options{})
	say, listen := pgtest.Connect(b, address), pgtest.Connect(b, address)
	if _, err := listen.Exec(b.Context(), `LISTEN floor`); err != nil {
		b.Fatal(err)
	}
	k := testKey("a")
	create(b, s, k)
	eventually(b, soon, func() error { return hearing(other) })
	var lags, floors []time.Duration
	for after := keys.Seq(1); b.Loop(); after++ {
		lags = append(lags, lag(b, func() error {
			_, err := s.Update(b.Context(), by(), k.Key.ID, keys.Guard{}, func(k *keys.Key) error { k.Enabled = !k.Enabled; return nil })
			return err
		}, func() error {
			if err := other.AwaitChange(b.Context(), after); err != nil {
				return err
			}
			changes, err := other.Changes(b.Context(), after, 10)
			if err == nil && len(changes) != 1 {
				err = fmt.Errorf("%d changes", len(changes))
			}
			return err
		}))
		floors = append(floors, lag(b, func() error {
			_, err := say.Exec(b.Context(), `NOTIFY floor, '1'`)
			return err
		}, func() error {
			_, err := listen.WaitForNotification(b.Context())
			return err
		}))
	}
	report(b, lags, "")
	report(b, floors, "-of-floor")
}

// lag is the time from when change has returned to when heard has; 0 if it
// was heard of before.
func lag(b *testing.B, change, heard func() error) time.Duration {
	b.Helper()
	var at time.Time
	done := make(chan error, 1)
	go func() {
		err := heard()
		at = time.Now()
		done <- err
	}()
	err := change()
	changed := time.Now()
	if err := errors.Join(err, <-done); err != nil {
		b.Fatal(err)
	}
	return max(0, at.Sub(changed))
}

func report(b *testing.B, lags []time.Duration, of string) {
	b.Helper()
	slices.Sort(lags)
	b.ReportMetric(float64(lags[len(lags)/2].Microseconds()), "p50-µs"+of)
	b.ReportMetric(float64(lags[len(lags)*99/100].Microseconds()), "p99-µs"+of)
	b.ReportMetric(float64(lags[len(lags)-1].Microseconds()), "max-µs"+of)
}
