package admin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

func bootstrapOptions(dir string) admin.BootstrapOptions {
	return admin.BootstrapOptions{Dir: dir, Now: func() time.Time { return theTime }}
}

// countKeys returns how many keys are stored.
func countKeys(t *testing.T, store keys.Store) int {
	t.Helper()
	counts, err := store.Counts(context.Background(), theTime)
	if err != nil {
		t.Fatal(err)
	}
	return int(counts.Active + counts.Disabled + counts.Expired)
}

func TestTheFirstStartMakesAnAdminKey(t *testing.T) {
	store, dir := openStore(t, nil), filepath.Join(t.TempDir(), "new", "folder")
	path, created, err := admin.Bootstrap(context.Background(), store, bootstrapOptions(dir))
	if err != nil || !created || path != filepath.Join(dir, "admin.key") {
		t.Fatalf("%q, %t, %v", path, created, err)
	}
	for name, mode := range map[string]os.FileMode{path: 0o600, dir: 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := keys.ParseSecret(keys.DefaultPrefix, strings.TrimSuffix(string(text), "\n"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := store.Find(context.Background(), secret.Digest())
	if err != nil || found.Name() != "bootstrap" || found.Admin != permission.Write || found.Permissions.For("rest", "") != permission.None {
		t.Errorf("found %+v, %v", found, err)
	}
	entries, _, err := store.Audit(context.Background(), keys.AuditQuery{Limit: 10})
	if err != nil || len(entries) != 1 || entries[0].Action != "bootstrap" || entries[0].Actor != "bootstrap" {
		t.Errorf("the audit says %+v, %v", entries, err)
	}

	// The second start finds all well.
	path, created, err = admin.Bootstrap(context.Background(), store, bootstrapOptions(dir))
	if path != "" || created || err != nil || countKeys(t, store) != 1 {
		t.Errorf("the second start: %q, %t, %v", path, created, err)
	}
}

func TestWithAnAdminKeyNoFileIsLeft(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir()
	path, created, err := admin.Bootstrap(context.Background(), s.store, bootstrapOptions(dir))
	if path != "" || created || err != nil || countKeys(t, s.store) != 1 {
		t.Errorf("%q, %t, %v", path, created, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestAFileThatIsThereIsNotWrittenOver(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "half written": "kw_3fGh", "of another store": "kw_00000000000000000000000000000000abcdef\n", "no text": "\x00\xff"} {
		t.Run(name, func(t *testing.T) {
			store, dir := openStore(t, nil), t.TempDir()
			file := filepath.Join(dir, "admin.key")
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			path, created, err := admin.Bootstrap(context.Background(), store, bootstrapOptions(dir))
			if path != file || created || err != nil || countKeys(t, store) != 0 {
				t.Errorf("%q, %t, %v", path, created, err)
			}
			if kept, err := os.ReadFile(file); err != nil || string(kept) != content {
				t.Errorf("the file is now %q, %v", kept, err)
			}
		})
	}
}

func TestAStoreThatCannotBeReadIsNotTakenForAnEmptyOne(t *testing.T) {
	store, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "keys.db"), keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, prepare := range []func(){func() {}, func() {
		if err := os.WriteFile(filepath.Join(dir, "admin.key"), []byte("something"), 0o600); err != nil {
			t.Fatal(err)
		}
	}} {
		prepare()
		before, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if path, created, err := admin.Bootstrap(context.Background(), store, bootstrapOptions(dir)); err == nil || created || path != "" {
			t.Errorf("%q, %t, %v", path, created, err)
		}
		if after, err := os.ReadDir(dir); err != nil || len(after) != len(before) {
			t.Errorf("the folder held %v, and holds %v, %v", before, after, err)
		}
	}
}

func TestAFolderThatCannotBeWrittenIsAnErrorAndMakesNoKey(t *testing.T) {
	store, dir := openStore(t, nil), t.TempDir()
	blocked := filepath.Join(dir, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if path, created, err := admin.Bootstrap(context.Background(), store, bootstrapOptions(blocked)); err == nil || created || path != "" || countKeys(t, store) != 0 {
		t.Errorf("%q, %t, %v", path, created, err)
	}
}

func TestOfManyNodesThatStartAtOnceOneMakesTheKey(t *testing.T) {
	for name, shared := range map[string]bool{"one folder": true, "a folder each": false} {
		t.Run(name, func(t *testing.T) {
			store, dir := openStore(t, nil), t.TempDir()
			const nodes = 8
			paths, made := make([]string, nodes), make([]bool, nodes)
			var all sync.WaitGroup
			for i := range nodes {
				all.Go(func() {
					at := dir
					if !shared {
						at = filepath.Join(dir, string(rune('a'+i)))
					}
					var err error
					if paths[i], made[i], err = admin.Bootstrap(context.Background(), store, bootstrapOptions(at)); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			count := 0
			for i := range nodes {
				if !made[i] {
					continue
				}
				count++
				if _, err := os.Stat(paths[i]); err != nil {
					t.Error(err)
				}
			}
			if count != 1 || countKeys(t, store) != 1 {
				t.Errorf("%d nodes made a key, %d keys are stored", count, countKeys(t, store))
			}
			left, err := filepath.Glob(filepath.Join(dir, "*", "admin.key"))
			if err != nil || !shared && len(left) != 1 {
				t.Errorf("left are %v, %v", left, err)
			}
		})
	}
}

// faulty is a real store that loses answers.
type faulty struct {
	keys.Store
	before, finding error
	lost            error // after the commit
}

func (f faulty) CreateFirstAdmin(ctx context.Context, by keys.By, k keys.New) (bool, error) {
	if f.before != nil {
		return false, f.before
	}
	created, err := f.Store.CreateFirstAdmin(ctx, by, k)
	return created && f.lost == nil, errors.Join(err, f.lost)
}

func (f faulty) Find(ctx context.Context, d keys.Digest) (*keys.Identity, error) {
	if f.finding != nil {
		return nil, f.finding
	}
	return f.Store.Find(ctx, d)
}

func TestTheFileStaysExactlyWhereTheKeyMayBeStored(t *testing.T) {
	fault := errors.New("connection reset")
	for name, c := range map[string]struct {
		store         faulty
		created, file bool
		err           bool
	}{
		"not stored":                      {faulty{before: fault}, false, false, true},
		"stored, answer lost":             {faulty{lost: fault}, true, true, false},
		"stored, and nobody can tell":     {faulty{lost: fault, finding: fault}, false, true, true},
		"not stored, and nobody can tell": {faulty{before: fault, finding: fault}, false, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			c.store.Store = openStore(t, nil)
			dir := t.TempDir()
			_, created, err := admin.Bootstrap(context.Background(), c.store, bootstrapOptions(dir))
			if created != c.created || (err != nil) != c.err {
				t.Errorf("created is %t, %v", created, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "admin.key")); (err == nil) != c.file {
				t.Errorf("the file: %v", err)
			}
		})
	}
}
