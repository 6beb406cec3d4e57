package sqlite

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func TestFolderAndFileAreTheOwnersOnly(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	s := openTest(t, filepath.Join(folder, "keys.db"), keys.Options{})
	create(t, s, testKey("a"))
	for _, dir := range []string{folder, filepath.Dir(folder)} {
		if mode := stat(t, dir).Mode().Perm(); mode != 0o700 {
			t.Errorf("%s has mode %o, want 700", dir, mode)
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if mode := stat(t, filepath.Join(folder, file.Name())).Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o, want 600", file.Name(), mode)
		}
	}
	if len(files) < 3 {
		t.Errorf("files %v, want the database, its log and more", files)
	}
}

func TestAFolderThatIsThereKeepsItsMode(t *testing.T) {
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o750); err != nil { // an operator's choice
		t.Fatal(err)
	}
	openTest(t, filepath.Join(folder, "keys.db"), keys.Options{})
	if mode := stat(t, folder).Mode().Perm(); mode != 0o750 {
		t.Errorf("mode %o, want 750", mode)
	}
}

func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func create(t testing.TB, s *Store, ks ...keys.New) {
	t.Helper()
	if err := s.Create(t.Context(), keys.By{Actor: "test", At: time.Now()}, "create", ks); err != nil {
		t.Fatal(err)
	}
}

func TestPathsMayHaveAnyCharacter(t *testing.T) {
	for _, name := range []string{"with space", "q?mode=memory&x=y", "hash#", "100%41", "semi;colon", "ünïcode 🔑", `back\slash`, "'quote\"", "a+b"} {
		folder := filepath.Join(t.TempDir(), name)
		s := openTest(t, filepath.Join(folder, name), keys.Options{})
		create(t, s, testKey("a"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if stat(t, filepath.Join(folder, name)).Size() == 0 {
			t.Errorf("%s: the database is somewhere else", name)
		}
	}
}

func TestALinkIsTheSameDatabase(t *testing.T) {
	folder := t.TempDir()
	if err := os.Symlink(filepath.Join(folder, "real"), filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	a := openTest(t, filepath.Join(folder, "link", "keys.db"), keys.Options{})
	b := openTest(t, filepath.Join(folder, "real", "keys.db"), keys.Options{})
	k := testKey("a")
	create(t, a, k)
	if _, err := b.Find(t.Context(), k.Digest); err != nil {
		t.Fatal(err)
	}
}

func TestALinkToNoFileMakesTheFile(t *testing.T) {
	folder := t.TempDir()
	if err := os.Symlink(filepath.Join("below", "real.db"), filepath.Join(folder, "link.db")); err != nil {
		t.Fatal(err)
	}
	openTest(t, filepath.Join(folder, "link.db"), keys.Options{})
	if mode := stat(t, filepath.Join(folder, "below", "real.db")).Mode(); mode.Perm() != 0o600 {
		t.Errorf("mode %s, want 0600", mode)
	}
	if err := os.Symlink("loop.db", filepath.Join(folder, "loop.db")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), filepath.Join(folder, "loop.db"), keys.Options{}); err == nil {
		t.Error("a link to itself was opened")
	}
}

func TestWhatIsNoDatabaseIsRefused(t *testing.T) {
	folder := t.TempDir()
	garbage := filepath.Join(folder, "garbage")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(folder, "foreign.db")
	raw := openRaw(t, foreign)
	if _, err := raw.ExecContext(t.Context(), `CREATE TABLE keys (name TEXT)`); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := contents(t, folder)
	for path, want := range map[string]string{
		"": "not the path of a file", "a\x00b": "not the path of a file", folder: "opening sqlite store",
		garbage: "not a database", foreign: "another program", filepath.Join(file, "keys.db"): "making the folder",
	} {
		s, err := Open(t.Context(), path, keys.Options{})
		if err == nil {
			t.Errorf("%q was opened", path)
			_ = s.Close()
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %q, want %q in it", path, err, want)
		}
	}
	if diff := cmp.Diff(before, contents(t, folder)); diff != "" {
		t.Errorf("files changed (-before +after):\n%s", diff)
	}
}

// contents returns the names, contents and times of a folder's files.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = stat(t, filepath.Join(folder, e.Name())).ModTime().String() + string(text)
	}
	return all
}

// newer is what a later version has in its migrations.
func newer(t *testing.T) fs.FS {
	t.Helper()
	all := fstest.MapFS{"00099_later.sql": {Data: []byte("-- +goose Up\nCREATE TABLE later (x INTEGER) STRICT;\n-- +goose Down\nDROP TABLE later;\n")}}
	own, err := fs.Glob(migrations(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range own {
		text, err := fs.ReadFile(migrations(), name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = &fstest.MapFile{Data: text}
	}
	return all
}

func TestANewerDatabaseIsRefusedUntouched(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "keys.db")
	s, err := openWith(t.Context(), path, newer(t), keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	create(t, s, testKey("a"))

	t.Run("while the newer version runs", func(t *testing.T) {
		mustBeRefused(t, path)
		create(t, s, testKey("b"))
	})
	t.Run("after the newer version was killed", func(t *testing.T) {
		// What a killed process leaves is what the files are now.
		left := filepath.Join(t.TempDir(), "keys.db")
		for _, suffix := range []string{"", "-wal"} {
			text, err := os.ReadFile(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(left+suffix, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before := contents(t, filepath.Dir(left))
		mustBeRefused(t, left)
		after := contents(t, filepath.Dir(left))
		delete(after, "keys.db-shm") // no part of the database: shared memory, made anew
		if diff := cmp.Diff(before, after); diff != "" {
			t.Error("the database was touched")
		}
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	t.Run("after the newer version was closed", func(t *testing.T) {
		before := contents(t, folder)
		mustBeRefused(t, path)
		if diff := cmp.Diff(before, contents(t, folder)); diff != "" {
			t.Error("the database was touched, or there is a new file beside it")
		}
	})
	t.Run("and the newer version still opens it", func(t *testing.T) {
		s, err := openWith(t.Context(), path, newer(t), keys.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func mustBeRefused(t *testing.T, path string) {
	t.Helper()
	_, err := Open(t.Context(), path, keys.Options{})
	if !errors.Is(err, keys.ErrNewerVersion) {
		t.Fatalf("error %v, want that the database is newer", err)
	}
}

func TestAnOlderDatabaseIsMigratedWithItsKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := openTest(t, path, keys.Options{})
	k := testKey("a")
	create(t, s, k)
	// While the older version has it open.
	later, err := openWith(t.Context(), path, newer(t), keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = later.Close() }) // also closed by the test
	if _, err := later.Find(t.Context(), k.Digest); err != nil {
		t.Fatal(err)
	}
	create(t, s, testKey("b"))
	if err := later.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAFailedMigrationLeavesTheDatabaseAsItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := openTest(t, path, keys.Options{})
	k := testKey("a")
	create(t, s, k)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	broken := fstest.MapFS{}
	for name, file := range newer(t).(fstest.MapFS) { // it is one
		broken[name] = file
	}
	broken["00099_later.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE later (x INTEGER) STRICT;\nDROP TABLE keys;\nINSERT INTO nowhere VALUES (1);\n")}
	if _, err := openWith(t.Context(), path, broken, keys.Options{}); err == nil {
		t.Fatal("a broken migration succeeded")
	}
	s = openTest(t, path, keys.Options{})
	if _, err := s.Find(t.Context(), k.Digest); err != nil {
		t.Fatal(err)
	}
}

func TestMigrationsGoDownAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := openTest(t, path, keys.Options{})
	create(t, s, testKey("a"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	migrateDown(t, path)
	s = openTest(t, path, keys.Options{})
	create(t, s, testKey("b"))
}

func TestOpeningEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	unlock, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, path, keys.Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want that the context's time is over", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	openTest(t, path, keys.Options{})
}

func TestADatabaseOutOfWALModeIsPutBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	if err := openTest(t, path, keys.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	raw := openRaw(t, path)
	if _, err := raw.ExecContext(t.Context(), `PRAGMA journal_mode = DELETE`); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, path, keys.Options{})
	create(t, s, testKey("a"))
	var mode string
	if err := openRaw(t, path).QueryRowContext(t.Context(), `PRAGMA journal_mode`).Scan(&mode); err != nil || mode != "wal" {
		t.Fatalf("journal mode %q, %v", mode, err)
	}
}
