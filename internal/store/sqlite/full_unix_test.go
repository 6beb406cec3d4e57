//go:build unix

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// The process may not make any file larger than some size, so that writing
// to the log fails where a full disk fails: at the commit.
func TestALogThatCannotGrowLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	p := startProcess(t, "full", path)
	var ids []keys.ID
	for p.lines.Scan() {
		ids = append(ids, keys.ID(p.lines.Text()))
	}
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(ids) < 3 {
		t.Fatalf("only %d keys were acknowledged", len(ids))
	}
	s := openTest(t, path, keys.Options{})
	for _, id := range ids {
		if _, err := s.Get(t.Context(), id, time.Now()); err != nil {
			t.Error(err)
		}
	}
	counts, err := s.Counts(t.Context(), time.Now())
	if err != nil || counts.Active != int64(len(ids)) {
		t.Errorf("%d keys were acknowledged, %d are there; %v", len(ids), counts.Active, err)
	}
	checkIntegrity(t, path)
}

func init() { roles["full"] = writeUntilFull }

// writeUntilFull prints the ids of the keys that it could create.
func writeUntilFull(path string) (err error) {
	signal.Ignore(syscall.SIGXFSZ)
	ctx := context.Background()
	s, err := Open(ctx, path, keys.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	info, err := os.Stat(path + "-wal")
	if err != nil {
		return err
	}
	lifted := limit
	limit.Cur = uint64(info.Size()) + 600_000
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	failed := 0
	for i := range 40 {
		k := testKey(fmt.Sprint("key ", i))
		if err := s.Create(ctx, keys.By{At: time.Now()}, "create", []keys.New{k}); err != nil {
			failed++
			continue
		}
		say(k.Key.ID)
	}
	if failed == 0 {
		return errors.New("every key could be created")
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &lifted); err != nil {
		return err
	}
	k := testKey("afterwards")
	if err := s.Create(ctx, keys.By{At: time.Now()}, "create", []keys.New{k}); err != nil {
		return fmt.Errorf("creating with room again: %w", err)
	}
	say(k.Key.ID)
	return nil
}
