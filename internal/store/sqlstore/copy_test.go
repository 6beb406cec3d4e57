package sqlstore_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

func openSQLite(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func createTwo(t *testing.T, s keys.Store) {
	t.Helper()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var ks []keys.New
	for _, name := range []string{"a", "b"} {
		secret, err := keys.NewSecret("kw", nil)
		if err != nil {
			t.Fatal(err)
		}
		ks = append(ks, keys.New{Digest: secret.Digest(), Key: keys.Key{
			ID: keys.NewID(), Name: name, Permissions: permission.Set{Mode: permission.All}, Enabled: true, CreatedAt: now, UpdatedAt: now,
		}})
	}
	if err := s.Create(t.Context(), keys.By{Actor: "a", At: now}, "create", ks); err != nil {
		t.Fatal(err)
	}
	if err := s.PutEndpoint(t.Context(), keys.By{Actor: "a", At: now}, keys.Endpoint{API: "a", ID: "e", Title: "t"}); err != nil {
		t.Fatal(err)
	}
}

// A disk, a driver or a database that does not keep what it was given must be
// found out before the copy counts.
func TestACopyThatDiffersIsUndone(t *testing.T) {
	breaks := map[string]func(r *sqlstore.Rows){
		"keys: a name":              func(r *sqlstore.Rows) { r.Values[1][2] = "c" },
		"keys: an expiry":           func(r *sqlstore.Rows) { r.Values[0][10] = int64(1) },
		"secrets: a digest's bit":   func(r *sqlstore.Rows) { r.Values[0][0].([]byte)[31] ^= 1 },
		"secrets: a grace":          func(r *sqlstore.Rows) { r.Values[0][4] = int64(99) },
		"secrets: none":             func(r *sqlstore.Rows) { r.Values = nil },
		"audit: who it was":         func(r *sqlstore.Rows) { r.Values[0][2] = "b" },
		"audit: one entry fewer":    func(r *sqlstore.Rows) { r.Values = r.Values[1:] },
		"endpoints: an empty title": func(r *sqlstore.Rows) { r.Values[0][2] = "" },
	}
	for name, damage := range breaks {
		t.Run(name, func(t *testing.T) {
			from, to := openSQLite(t), openSQLite(t)
			createTwo(t, from)
			table, _, _ := strings.Cut(name, ":")
			to.ReplaceInsert(func(insert sqlstore.Insert) sqlstore.Insert {
				return func(ctx context.Context, tx *sql.Tx, rows sqlstore.Rows) (int64, error) {
					given := int64(len(rows.Values))
					if rows.Table == table {
						damage(&rows)
					}
					_, err := insert(ctx, tx, rows)
					return given, err
				}
			})
			_, err := sqlstore.Copy(t.Context(), from, to, func(string, bool, int64, int64) {})
			if err == nil || !strings.Contains(err.Error(), "nothing was copied") {
				t.Fatalf("copied: %v", err)
			}
			if counts, err := to.Counts(t.Context(), time.Now()); err != nil || counts != (keys.Counts{}) {
				t.Errorf("counts %+v, %v", counts, err)
			}
		})
	}
}
