package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// synchronous asks the writer whether commits wait for the disk; 2 is FULL.
func synchronous(t *testing.T, from interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
},
) (mode int) {
	t.Helper()
	if err := from.QueryRowContext(t.Context(), `PRAGMA synchronous`).Scan(&mode); err != nil {
		t.Fatal(err)
	}
	return mode
}

func TestNotesDoNotWaitForTheDiskAndChangesDo(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "keys.db"), keys.Options{})
	fault := errors.New("the note failed")
	for name, do := range map[string]func() error{
		"done":   func() error { return nil },
		"failed": func() error { return fault },
	} {
		err := s.pools.note(t.Context(), func(tx *sql.Tx) error {
			if got := synchronous(t, tx); got != 1 {
				t.Errorf("%s: in a note synchronous is %d, want 1, NORMAL", name, got)
			}
			return do()
		})
		if !errors.Is(err, do()) {
			t.Errorf("%s: %v", name, err)
		}
		if got := synchronous(t, s.pools.write); got != 2 {
			t.Errorf("%s: after a note synchronous is %d, want 2, FULL", name, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.pools.note(ctx, func(*sql.Tx) error { cancel(); return nil }); err == nil {
		t.Error("a note whose context ended was made")
	}
	if got := synchronous(t, s.pools.write); got != 2 {
		t.Errorf("after a note that was broken off synchronous is %d, want 2, FULL", got)
	}
}

func TestANoteWaitsForAnotherProcessAsAChangeDoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s, other := openTest(t, path, keys.Options{}), openTest(t, path, keys.Options{})
	tx, err := other.pools.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.PutNode(ctx, keys.Node{ID: "a", Lease: time.Hour}, nil); err == nil {
		t.Fatal("two wrote at once")
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.PutNode(t.Context(), keys.Node{ID: "a", Lease: time.Hour}, nil)
		done <- err
	}()
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Beside a change, which waits for the disk.
func BenchmarkBeat(b *testing.B) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "keys.db"), keys.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.PutNode(b.Context(), keys.Node{ID: "a", Lease: time.Hour}, nil); err != nil {
		b.Fatal(err)
	}
	b.Run("beat", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Beat(b.Context(), "a", keys.Pulse{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("change", func(b *testing.B) {
		for b.Loop() {
			if err := s.Create(b.Context(), keys.By{Actor: "a", At: time.Now()}, "create", []keys.New{testKey("a")}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := s.Nodes(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
