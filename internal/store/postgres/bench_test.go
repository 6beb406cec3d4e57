package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

// dataset is a database of many keys, made once a process. It is hard on
// lists: what is looked for stands behind much that isn't.
type dataset struct {
	address string
	now     time.Time
	size    int
	took    time.Duration // to import them
	digests []keys.Digest // of every thousandth key
	ids     []keys.ID
}

var (
	millionOnce sync.Once
	million     dataset
	errMillion  error
)

// openMillion opens a database of 1 000 000 keys on a durable server. For a
// quick look KEYWARDEN_BENCH_KEYS says another number.
func openMillion(b *testing.B) (*Store, *dataset) {
	b.Helper()
	millionOnce.Do(func() {
		million = dataset{address: pgtest.Lasting(b), now: time.Now(), size: 1_000_000}
		if n, err := strconv.Atoi(os.Getenv("KEYWARDEN_BENCH_KEYS")); err == nil {
			million.size = n
		}
		errMillion = million.fill(context.Background())
	})
	if errMillion != nil {
		b.Fatal(errMillion)
	}
	return openTest(b, million.address, Options{}), &million
}

// key returns the i-th key. The 400 000 oldest have expired, but for every
// 20 000th; every 5000th is disabled; half belong to one owner; half have
// access to all APIs, but not the newer ones.
func (d *dataset) key(i int) keys.New {
	k := testKey(fmt.Sprintf("service-%07d", i))
	k.Key.Owner = fmt.Sprintf("team-%d", i%1000)
	if i%2 == 0 {
		k.Key.Owner = "big"
	}
	k.Key.Enabled = i%5000 != 7
	if i < d.size*4/10 && i%20_000 != 0 {
		k.Key.ExpiresAt = d.now.Add(-time.Duration(i+1) * time.Second)
	} else if i%3 == 0 {
		k.Key.ExpiresAt = d.now.Add(time.Duration(i+1) * time.Hour)
	}
	switch {
	case i == 1000:
		k.Key.Permissions = permission.Set{APIs: []permission.Grant{{API: "rare", Access: permission.Read}}}
	case i >= d.size/2:
		k.Key.Permissions = permission.Set{APIs: []permission.Grant{{API: "graphql", Access: permission.Read}, {API: "rest", Access: permission.Write}}}
	case i%2 == 1:
		k.Key.Permissions = permission.Set{APIs: []permission.Grant{{API: "rest", Access: permission.Write}}}
	}
	return k
}

// fill imports the keys as the admin API does, 10 000 at once.
func (d *dataset) fill(ctx context.Context) (err error) {
	s, err := Open(ctx, d.address, Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	const some = 10_000
	for i := 0; i < d.size; i += some {
		ks := make([]keys.New, some)
		for j := range ks {
			ks[j] = d.key(i + j)
			if (i+j)%1000 == 0 {
				d.digests, d.ids = append(d.digests, ks[j].Digest), append(d.ids, ks[j].Key.ID)
			}
		}
		began := time.Now()
		if err := s.Create(ctx, by(), "import", ks); err != nil {
			return err
		}
		d.took += time.Since(began)
	}
	conn, err := pgx.Connect(ctx, d.address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	// What writers note in passing, and what the server does by itself within a minute.
	for _, text := range []string{`UPDATE keys SET standing = 1 WHERE standing = 0 AND expires_at <= ` + strconv.FormatInt(d.now.UnixMilli(), 10), `VACUUM ANALYZE`, `CHECKPOINT`} {
		if _, err := conn.Exec(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// What an import of a million keys takes is measured while they are made.
func BenchmarkImportOfAMillion(b *testing.B) {
	_, d := openMillion(b)
	for b.Loop() { // it was done before
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(d.took.Seconds(), "s")
	b.ReportMetric(float64(d.took.Nanoseconds())/float64(d.size), "ns/key")
}

// BenchmarkFindAmongAMillion asks in turn the bare driver for a key's number
// (the floor), the bare driver for what the store asks for, and the store, so
// that whatever else the machine does slows all three.
func BenchmarkFindAmongAMillion(b *testing.B) {
	s, d := openMillion(b)
	conn := pgtest.Connect(b, d.address)
	ask := []func(digest keys.Digest) error{
		func(digest keys.Digest) error {
			var n int64
			return conn.QueryRow(b.Context(), `SELECT key_n FROM secrets WHERE digest = $1`, digest[:]).Scan(&n)
		},
		func(digest keys.Digest) error {
			var (
				id, name, owner, prefix, permissions, admin string
				standing                                    int64
				expires, ends                               *int64
			)
			return conn.QueryRow(b.Context(), sqlstore.FindSQL, digest[:]).Scan(&id, &name, &owner, &prefix, &permissions, &admin, &standing, &expires, &ends)
		},
		func(digest keys.Digest) error { _, err := s.Find(b.Context(), digest); return err },
	}
	took := make([][]time.Duration, len(ask))
	for i := 0; b.Loop(); i++ {
		for j, ask := range ask {
			began := time.Now()
			if err := ask(d.digests[(3*i+j)%len(d.digests)]); err != nil {
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

func BenchmarkListAMillion(b *testing.B) {
	s, d := openMillion(b)
	big, team, nobody := "big", "team-7", "nobody"
	id := string(d.ids[len(d.ids)/2])
	queries := map[string]keys.Query{
		"no filter":              {},
		"owner of 500 000":       {Owner: &big},
		"owner of 1000":          {Owner: &team},
		"owner of none":          {Owner: &nobody},
		"active":                 {Status: keys.Active},
		"expired":                {Status: keys.Expired},
		"disabled":               {Status: keys.Disabled},
		"api of most":            {API: "rest"},
		"api of some":            {API: "graphql"},
		"api of all-mode keys":   {API: "undeclared"},
		"api of one":             {API: "rare"},
		"text of all":            {Text: "service"},
		"text of most":           {Text: "key_"},
		"text of one, name":      {Text: "SERVICE-0000001"},
		"text of one, id":        {Text: id},
		"text of one, id's head": {Text: id[:16]},
		"text of one, id's tail": {Text: id[24:]},
		"text of none":           {Text: "no such key"},
		"text of none, near":     {Text: "service-9999999"},
		"text of two digits":     {Text: "77"},
		"text of two letters":    {Text: "zq"},
		"text of one letter":     {Text: "z"},
		"text of none, two":      {Text: "é!"},
		"owner of 500 000, text": {Owner: &big, Text: "service-0000002"},
		"owner of 1000, text":    {Owner: &team, Text: "service"},
		"owner, active":          {Owner: &team, Status: keys.Active},
		"owner of many, expired": {Owner: &big, Status: keys.Expired},
		"text, disabled":         {Text: "service", Status: keys.Disabled},
		"api, expired":           {API: "rest", Status: keys.Expired},
	}
	for _, name := range slices.Sorted(maps.Keys(queries)) {
		b.Run(name, func(b *testing.B) {
			q := queries[name]
			q.Now, q.Limit = d.now, 50
			var found int
			for b.Loop() {
				page, _, err := s.List(b.Context(), q)
				if err != nil {
					b.Fatal(err)
				}
				found = len(page)
			}
			b.ReportMetric(float64(found), "keys")
		})
	}
}

func BenchmarkListDeepInAMillion(b *testing.B) {
	s, d := openMillion(b)
	q := keys.Query{Now: d.now, Limit: 200, Status: keys.Active}
	for b.Loop() {
		_, next, err := s.List(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		q.Cursor = next
	}
}

func BenchmarkCountAMillion(b *testing.B) {
	s, d := openMillion(b)
	for b.Loop() {
		if _, err := s.Counts(b.Context(), d.now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDigestsOfAMillion(b *testing.B) {
	s, d := openMillion(b)
	for b.Loop() {
		n := 0
		if err := s.Digests(b.Context(), func(keys.Digest) bool { n++; return true }); err != nil || n < d.size {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkImportTenThousand(b *testing.B) {
	s := openTest(b, pgtest.Lasting(b), Options{})
	for b.Loop() {
		b.StopTimer()
		ks := make([]keys.New, 10_000)
		for i := range ks {
			ks[i] = testKey(fmt.Sprintf("imported-%d", i))
		}
		b.StartTimer()
		create(b, s, ks...)
	}
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
}

func BenchmarkTouchAThousand(b *testing.B) {
	s, d := openMillion(b)
	used := map[keys.ID]time.Time{}
	at := d.now
	for b.Loop() {
		at = at.Add(time.Millisecond)
		for _, id := range d.ids {
			used[id] = at
		}
		if err := s.Touch(b.Context(), used); err != nil {
			b.Fatal(err)
		}
	}
}
