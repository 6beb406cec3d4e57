package sqlstore_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// Each order has an index that is read from where the page before ended: what
// is sorted is the page alone.
func TestSortedListsTakeTheirKeysInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s, err := sqlite.Open(t.Context(), path, keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // nothing was written
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // nothing was written
	for _, sort := range keys.Sorts() {
		for _, first := range []bool{true, false} {
			text, args, err := s.SortedSQL(t.Context(), keys.Query{Sort: sort, Now: time.Now()}, first)
			if err != nil {
				t.Fatal(err)
			}
			plan := explain(t, db, text, args)
			inner := plan
			if at := strings.Index(plan, "SCAN page"); at >= 0 {
				inner = plan[:at]
			}
			if strings.Contains(inner, "TEMP B-TREE") || !first && !strings.Contains(inner, "SEARCH k USING") {
				t.Errorf("by %s, first page %t:\n%s", sort, first, plan)
			}
		}
	}
}

// A filter that many keys pass, but none near the page, ends a page early: what
// comes of following the cursors is the same.
func TestAPageInOrderEndsEarlyInsteadOfReadingAll(t *testing.T) {
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // what it holds is not needed any more
	now := time.UnixMilli(1_800_000_000_000)
	var all []keys.New
	for i := range 5000 {
		secret, err := keys.NewSecret("kw", nil)
		if err != nil {
			t.Fatal(err)
		}
		// Those that have expired have the first names, and there are many of them.
		k := keys.Key{ID: keys.NewID(), Name: fmt.Sprintf("%05d", i), Owner: "o", Prefix: secret.Prefix(), Enabled: true, CreatedAt: now, UpdatedAt: now}
		if i < 2500 {
			k.ExpiresAt = now.Add(time.Duration(i-3000) * time.Hour)
		}
		all = append(all, keys.New{Key: k, Digest: secret.Digest()})
	}
	if err := s.Create(t.Context(), keys.By{At: now}, "import", all); err != nil {
		t.Fatal(err)
	}
	const walked = 100
	s.WalkAtMost(walked)
	for _, sort := range []keys.Sort{keys.SortName, "-" + keys.SortName, keys.SortExpiry, "-" + keys.SortExpiry, keys.SortCreation, "-" + keys.SortOwner} {
		q := keys.Query{Sort: sort, Status: keys.Active, Now: now, Limit: 50}
		var names []string
		early := 0
		for pages := 0; ; pages++ {
			page, next, err := s.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range page {
				names = append(names, k.Name)
			}
			if next == "" {
				break
			}
			if len(page) < q.Limit {
				early++
			}
			if pages > len(all)/q.Limit+len(all)/walked {
				t.Fatalf("by %s: no end after %d pages", sort, pages)
			}
			q.Cursor = next
		}
		slices.Sort(names)
		if distinct := slices.Compact(names); len(names) != 2500 || len(distinct) != 2500 || names[0] != "02500" {
			t.Errorf("by %s: %d keys, %d of them distinct, want the 2500 active ones", sort, len(names), len(distinct))
		}
		if early < 20 {
			t.Errorf("by %s: %d pages ended early, want those through the 2500 expired ones", sort, early)
		}
	}
}
