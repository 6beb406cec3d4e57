package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// pageLimit bounds how large the file may get, or lifts the bound again.
func pageLimit(t *testing.T, s *Store, pages int) {
	t.Helper()
	var got int
	if err := s.pools.write.QueryRowContext(t.Context(), fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)).Scan(&got); err != nil {
		t.Fatal(err)
	}
}

// shown is all that people see of a store.
type shown struct {
	Keys  []*keys.Key
	Audit []keys.AuditEntry
	Seq   keys.Seq
}

func show(t *testing.T, s *Store) shown {
	t.Helper()
	var all shown
	var err error
	if all.Keys, _, err = s.List(t.Context(), keys.Query{Now: time.Now(), Limit: 200}); err != nil {
		t.Fatal(err)
	}
	if all.Audit, _, err = s.Audit(t.Context(), keys.AuditQuery{Limit: 200}); err != nil {
		t.Fatal(err)
	}
	if all.Seq, err = s.LastSeq(t.Context()); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAFullDiskStoresNothingByHalves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := openTest(t, path, keys.Options{})
	k := testKey("a")
	create(t, s, k)
	pageLimit(t, s, 1) // SQLite makes that: no larger than it is
	full := 0
	for n := range 60 {
		before := show(t, s)
		err := s.Create(t.Context(), keys.By{Actor: "test", At: time.Now()}, "import", []keys.New{testKey("x"), testKey("y"), testKey(strings.Repeat("z", n*100))})
		if err == nil {
			continue // there was room in the file still
		}
		full++
		if !strings.Contains(err.Error(), "full") {
			t.Fatalf("error %q does not say that the disk is full", err)
		}
		if diff := cmp.Diff(before, show(t, s)); diff != "" {
			t.Fatalf("half written:\n%s", diff)
		}
		if _, err := s.Find(t.Context(), k.Digest); err != nil {
			t.Fatalf("reading from a full disk: %v", err)
		}
	}
	if full == 0 {
		t.Fatal("the disk was never full")
	}
	pageLimit(t, s, 1<<30)
	create(t, s, testKey("afterwards"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkIntegrity(t, path)
}

func TestALockThatIsKeptIsAClearError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := openTest(t, path, keys.Options{})
	create(t, s, testKey("a"))
	s.pools.wait = 100 * time.Millisecond
	raw := openRaw(t, path)
	raw.SetMaxOpenConns(1)
	if _, err := raw.ExecContext(t.Context(), `BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	before := show(t, s)
	err := s.Create(t.Context(), keys.By{At: time.Now()}, "create", []keys.New{testKey("b")})
	if err == nil || !strings.Contains(err.Error(), "another process keeps the database locked") {
		t.Fatalf("error %v", err)
	}
	if err := s.Touch(t.Context(), map[keys.ID]time.Time{"key_x": time.Now()}); err == nil {
		t.Fatal("a touch under lock succeeded")
	}
	if diff := cmp.Diff(before, show(t, s)); diff != "" {
		t.Fatalf("changed under lock:\n%s", diff)
	}
	if _, err := raw.ExecContext(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	create(t, s, testKey("b"))
}

// What cannot be read must not look like an empty store: a first admin key
// would be made.
func TestADamagedDatabaseIsNotAnEmptyOne(t *testing.T) {
	for name, damage := range map[string]func(file []byte) []byte{
		"pages overwritten": func(file []byte) []byte {
			for i := 4096; i < len(file); i++ {
				file[i] = 0xaa
			}
			return file
		},
		"cut off":            func(file []byte) []byte { return file[:4096] },
		"header overwritten": func(file []byte) []byte { copy(file, "no database here"); return file },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys.db")
			s := openTest(t, path, keys.Options{})
			k := testKey("admin")
			k.Key.Admin = permission.Write
			create(t, s, k)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(file), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err = Open(t.Context(), path, keys.Options{})
			if err != nil {
				return // refused at once
			}
			defer func() { _ = s.Close() }() // it may complain
			if done, err := s.CreateFirstAdmin(t.Context(), keys.By{At: time.Now()}, k); done || err == nil {
				t.Fatalf("a first admin was created: %t, %v", done, err)
			}
		})
	}
}

func TestALookUpEndsWithItsContext(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "keys.db"), keys.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if _, err := s.Find(ctx, keys.Digest{}); err == nil {
		t.Fatal("found with a context that had ended")
	}
}
