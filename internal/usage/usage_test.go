package usage

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// fallible is a real store that can refuse to write.
type fallible struct {
	keys.Store
	fail  error
	calls int
}

func (f *fallible) Touch(ctx context.Context, used map[keys.ID]time.Time) error {
	f.calls++
	if f.fail != nil {
		return f.fail
	}
	return f.Store.Touch(ctx, used)
}

func newStore(t testing.TB) *fallible {
	t.Helper()
	s, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "keys.db"), keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &fallible{Store: s}
}

func createKey(t testing.TB, s keys.Store) *keys.Identity {
	t.Helper()
	secret, err := keys.NewSecret("kw", nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	key := keys.Key{ID: keys.NewID(), Name: "n", Enabled: true, CreatedAt: now, UpdatedAt: now}
	if err := s.Create(t.Context(), keys.By{At: now}, "create", []keys.New{{Key: key, Digest: secret.Digest()}}); err != nil {
		t.Fatal(err)
	}
	return keys.NewIdentity(secret.Digest(), keys.Names{ID: key.ID}, nil, 0)
}

func lastUsed(t testing.TB, s keys.Store, id keys.ID) time.Time {
	t.Helper()
	key, err := s.Get(t.Context(), id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return key.LastUsedAt
}

func TestLastUseIsWrittenDown(t *testing.T) {
	s := newStore(t)
	r := New(s)
	id := createKey(t, s)
	base := time.Now()
	r.Mark(id, base)
	r.Mark(id, base.Add(5*time.Second))
	r.Mark(id, base.Add(3*time.Second)) // clocks of two cores may differ
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := lastUsed(t, s, id.ID()), base.Add(5*time.Second); got.UnixMilli() != want.UnixMilli() {
		t.Errorf("last used %s, want %s", got, want)
	}
	if err := r.Flush(t.Context()); err != nil || s.calls != 1 {
		t.Errorf("nothing to write: %d calls, %v", s.calls, err)
	}
	r.Mark(id, base.Add(time.Minute))
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := lastUsed(t, s, id.ID()), base.Add(time.Minute); got.UnixMilli() != want.UnixMilli() {
		t.Errorf("used again after a flush: %s, want %s", got, want)
	}
}

func TestUseOfADeletedKeyDoesNotBringItBack(t *testing.T) {
	s := newStore(t)
	r := New(s)
	id, other := createKey(t, s), createKey(t, s)
	r.Mark(id, time.Now())
	r.Mark(other, time.Now())
	if err := s.Delete(t.Context(), keys.By{At: time.Now()}, id.ID(), keys.Guard{}); err != nil {
		t.Fatal(err)
	}
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), id.ID(), time.Now()); !errors.Is(err, keys.ErrNoSuchKey) {
		t.Errorf("the deleted key: %v", err)
	}
	if lastUsed(t, s, other.ID()).IsZero() {
		t.Error("the other key's use was lost")
	}
}

func TestWhatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	s := newStore(t)
	r := New(s)
	id := createKey(t, s)
	now := time.Now()
	r.Mark(id, now)
	s.fail = errors.New("database is locked")
	if err := r.Flush(t.Context()); !errors.Is(err, s.fail) {
		t.Fatalf("the fault is %v", err)
	}
	s.fail = nil
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := lastUsed(t, s, id.ID()); got.UnixMilli() != now.UnixMilli() {
		t.Errorf("last used %s, want %s", got, now)
	}
}

func TestRunWritesWhatIsLeftWhenItEnds(t *testing.T) {
	s := newStore(t)
	r := New(s)
	id := createKey(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx, func(err error) { t.Error(err) }) }()
	r.Mark(id, time.Now())
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if lastUsed(t, s, id.ID()).IsZero() {
		t.Error("the use before the end was lost")
	}
}

func TestManyUsersAtOnce(t *testing.T) {
	s := newStore(t)
	r := New(s)
	id := createKey(t, s)
	base := time.Now()
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 500 {
				r.Mark(id, base.Add(time.Duration(i)*time.Second))
				if worker == 0 && i%50 == 0 {
					if err := r.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The last uses lie within the resolution of each other.
	if got, want := lastUsed(t, s, id.ID()), base.Add(499*time.Second); want.Sub(got) > 2*time.Second {
		t.Errorf("last used %s, want %s", got, want)
	}
}

func BenchmarkMark(b *testing.B) {
	r := New(newStore(b))
	id := &keys.Identity{}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		r.Mark(id, now)
	}
}
