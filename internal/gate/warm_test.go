package gate

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func (b *bench) warm(t *testing.T, most int) int {
	t.Helper()
	read, err := b.lookup.Warm(t.Context(), most)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func TestAWarmCacheAnswersFirstRequestsWithoutTheStore(t *testing.T) {
	b := newBench(t, testOptions)
	var secrets []keys.Secret
	for i := range 50 {
		key, secret := b.create(t, nil)
		secrets = append(secrets, secret)
		if i < 20 {
			if err := b.store.Touch(t.Context(), map[keys.ID]time.Time{key.ID: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.lookup.Reset()
	if read := b.warm(t, 20); read != 20 {
		t.Errorf("%d keys were read", read)
	}
	for i, secret := range secrets[:20] {
		if id, found := b.find(t, secret, time.Now()); id == nil || found != Hit {
			t.Errorf("key %d: %v, %s", i, id, found)
		}
	}
	if n := b.store.finds.Load(); n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
	if _, found := b.find(t, secrets[30], time.Now()); found != Miss {
		t.Errorf("a key that was never used: %s", found)
	}
	if read := b.warm(t, 0); read != 0 {
		t.Errorf("%d keys were read, of none", read)
	}
}

// rewarm is a store where something happens while recent keys are read.
type rewarm struct {
	Finder
	during func()
}

func (r rewarm) Recent(ctx context.Context, limit int, yield func(*keys.Identity) bool) error {
	var read []*keys.Identity
	if err := r.Finder.Recent(ctx, limit, func(id *keys.Identity) bool { read = append(read, id); return true }); err != nil {
		return err
	}
	r.during()
	for _, id := range read {
		if !yield(id) {
			return nil
		}
	}
	return nil
}

func TestAKeyThatChangesWhileTheCacheIsFilledIsNotBroughtBack(t *testing.T) {
	b := newBench(t, testOptions)
	deleted, deletedSecret := b.create(t, nil)
	disabled, disabledSecret := b.create(t, nil)
	b.lookup.store = rewarm{b.store, func() {
		if err := b.store.Delete(t.Context(), by, deleted.ID, keys.Guard{}); err != nil {
			t.Error(err)
		}
		_, err := b.store.Update(t.Context(), by, disabled.ID, keys.Guard{}, func(k *keys.Key) error { k.Enabled = false; return nil })
		if err != nil {
			t.Error(err)
		}
	}}
	b.warm(t, 100)
	if id, _ := b.find(t, deletedSecret, time.Now()); id != nil {
		t.Error("the deleted key was brought back")
	}
	if id, _ := b.find(t, disabledSecret, time.Now()); id == nil || id.Enabled {
		t.Errorf("the disabled key is %v", id)
	}

	// All is forgotten while it is read: a feed that lost its place.
	_, secret := b.create(t, nil)
	b.lookup.store = rewarm{b.store, b.lookup.Reset}
	b.warm(t, 100)
	if _, found := b.find(t, secret, time.Now()); found != Miss {
		t.Errorf("what was forgotten was brought back: %s", found)
	}
}

func TestFillingTheCacheEndsWithItsContext(t *testing.T) {
	b := newBench(t, testOptions)
	b.create(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.lookup.Warm(ctx, 10); err == nil {
		t.Error("it did not end")
	}
}
