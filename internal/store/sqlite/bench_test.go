package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

// million is a database of 1 000 000 keys, made once a process. It is hard on
// lists: what is looked for stands behind much that isn't.
var million = sync.OnceValues(func() (*dataset, error) {
	folder, err := os.MkdirTemp("", "keywarden-million-")
	if err != nil {
		return nil, err
	}
	d := &dataset{folder: folder, path: filepath.Join(folder, "keys.db"), now: time.Now()}
	made = d
	return d, d.fill(1_000_000)
})

// made is what million has made, for TestMain to remove.
var made *dataset

type dataset struct {
	folder  string
	path    string
	now     time.Time
	digests []keys.Digest // of every thousandth key
	ids     []keys.ID
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
	if i < 400_000 && i%20_000 != 0 {
		k.Key.ExpiresAt = d.now.Add(-time.Duration(i+1) * time.Second)
	} else if i%3 == 0 {
		k.Key.ExpiresAt = d.now.Add(time.Duration(i+1) * time.Hour)
	}
	switch {
	case i == 1000:
		k.Key.Permissions = permission.Set{APIs: []permission.Grant{{API: "rare", Access: permission.Read}}}
	case i >= 500_000:
		k.Key.Permissions = permission.Set{APIs: []permission.Grant{{API: "graphql", Access: permission.Read}, {API: "rest", Access: permission.Write}}}
	case i%2 == 1:
		k.Key.Permissions = permission.Set{APIs: []permission.Grant{{API: "rest", Access: permission.Write}}}
	}
	return k
}

// fill writes past the store: its audit and feed would take half of the time.
func (d *dataset) fill(n int) (err error) {
	ctx := context.Background()
	s, err := Open(ctx, d.path, keys.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	const some = 100_000
	for i := 0; i < n; i += some {
		tx, err := s.pools.begin(ctx)
		if err != nil {
			return err
		}
		for j := range some {
			if err := d.insert(ctx, tx, i+j); err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

func (d *dataset) insert(ctx context.Context, tx *sql.Tx, i int) error {
	k := d.key(i)
	if i%1000 == 0 {
		d.digests, d.ids = append(d.digests, k.Digest), append(d.ids, k.Key.ID)
	}
	permissions, err := json.Marshal(k.Key.Permissions)
	if err != nil {
		return err
	}
	var expires any
	standing := 0
	if !k.Key.ExpiresAt.IsZero() {
		expires = k.Key.ExpiresAt.UnixMilli()
		if k.Key.ExpiresAt.Before(d.now) {
			standing = 1
		}
	}
	if !k.Key.Enabled {
		standing = 2
	}
	text := strings.Join([]string{k.Key.Name, sqlstore.Fold(k.Key.Prefix), string(k.Key.ID), k.Key.Owner}, "\x1f")
	at := k.Key.CreatedAt.UnixMilli()
	for _, insert := range []struct {
		text string
		args []any
	}{
		{
			`INSERT INTO keys (n, id, name, owner, prefix, search, permissions, admin, standing, legacy, expires_at, created_at, updated_at, created_by, metadata, version)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 'none', $8, 0, $9, $10, $10, 'key_admin', '{"team":"platform"}', 1)`,
			[]any{i + 1, string(k.Key.ID), k.Key.Name, k.Key.Owner, k.Key.Prefix, text, string(permissions), standing, expires, at},
		},
		{`INSERT INTO secrets (digest, key_n, prefix, is_foreign) VALUES ($1, $2, $3, 0)`, []any{k.Digest[:], i + 1, k.Key.Prefix}},
	} {
		if _, err := tx.ExecContext(ctx, insert.text, insert.args...); err != nil {
			return err
		}
	}
	apis := []string{"*"}
	if k.Key.Permissions.Mode != permission.All {
		apis = nil
		for _, g := range k.Key.Permissions.APIs {
			apis = append(apis, g.API)
		}
	}
	for _, api := range apis {
		if _, err := tx.ExecContext(ctx, `INSERT INTO key_apis (n, api) VALUES ($1, $2)`, i+1, api); err != nil {
			return err
		}
	}
	return gramIndex{}.Put(ctx, tx, sqlstore.Text{N: int64(i + 1), Text: text})
}

func openMillion(b *testing.B) (*Store, *dataset) {
	b.Helper()
	d, err := million()
	if err != nil {
		b.Fatal(err)
	}
	return openTest(b, d.path, keys.Options{}), d
}

func BenchmarkFindAmongAMillion(b *testing.B) {
	s, d := openMillion(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Find(b.Context(), d.digests[i%len(d.digests)]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFindUnknownAmongAMillion(b *testing.B) {
	s, _ := openMillion(b)
	k := testKey("")
	b.ReportAllocs()
	for i := byte(0); b.Loop(); i++ {
		k.Digest[0] = i
		if _, err := s.Find(b.Context(), k.Digest); !errors.Is(err, keys.ErrNoSuchKey) {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenAMillionAndFindTheFirst(b *testing.B) {
	_, d := openMillion(b)
	for i := 0; b.Loop(); i++ {
		s := openTest(b, d.path, keys.Options{})
		if _, err := s.Find(b.Context(), d.digests[i%len(d.digests)]); err != nil {
			b.Fatal(err)
		}
		if foreign, err := s.HasForeign(b.Context()); err != nil || foreign {
			b.Fatal(foreign, err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkListAMillion(b *testing.B) {
	s, d := openMillion(b)
	big, team, nobody := "big", "team-7", "nobody"
	id := string(d.ids[500])
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
		"text of none, near":     {Text: "service-9999"},
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
	s, _ := openMillion(b)
	for b.Loop() {
		n := 0
		if err := s.Digests(b.Context(), func(keys.Digest) bool { n++; return true }); err != nil || n < 1_000_000 {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkImportTenThousand(b *testing.B) {
	s := openTest(b, filepath.Join(b.TempDir(), "keys.db"), keys.Options{})
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

func BenchmarkUpdate(b *testing.B) {
	s := openTest(b, filepath.Join(b.TempDir(), "keys.db"), keys.Options{})
	k := testKey("a")
	create(b, s, k)
	for b.Loop() {
		_, err := s.Update(b.Context(), keys.By{At: time.Now()}, k.Key.ID, keys.Guard{}, func(k *keys.Key) error {
			k.Enabled = !k.Enabled
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
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

func BenchmarkLookForChanges(b *testing.B) {
	s := openTest(b, filepath.Join(b.TempDir(), "keys.db"), keys.Options{})
	for b.Loop() {
		if err := s.AwaitChange(b.Context(), 1); err != nil { // another than the last: at once
			b.Fatal(err)
		}
	}
}
