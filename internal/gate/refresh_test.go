package gate

import (
	"errors"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// inUse makes keys that are remembered, and returns their secrets, and when the
// first and the last one were looked up: all were made before, which takes a
// busy machine longer than a key stays fresh.
func (b *bench) inUse(t testing.TB, n int) (secrets []keys.Secret, first, last time.Time) {
	t.Helper()
	secrets = make([]keys.Secret, n)
	for i := range secrets {
		_, secrets[i] = b.create(t, nil)
	}
	first = time.Now()
	for _, s := range secrets {
		b.find(t, s, first)
	}
	last = time.Now()
	time.Sleep(2 * time.Millisecond) // the cache's clock has milliseconds
	return secrets, first, last
}

// awaitFresh waits until all of the secrets were looked up after a time, and
// calls meanwhile until then.
func (b *bench) awaitFresh(t testing.TB, secrets []keys.Secret, after time.Time, meanwhile func()) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		fresh := 0
		for _, s := range secrets {
			if e, ok := b.lookup.cache.Get(new(s.Digest())); ok && e.CheckedAt > after.Sub(b.lookup.start) {
				fresh++
			}
		}
		if fresh == len(secrets) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d keys are fresh again", fresh, len(secrets))
		}
		meanwhile()
	}
}

func TestKeysInUseAreLookedUpAgainManyByOneQuery(t *testing.T) {
	o := testOptions
	b := newBench(t, o)
	const n = 550
	secrets, now, last := b.inUse(t, n)
	remembered := make([]*keys.Identity, n)
	soon := now.Add(o.TTL * 9 / 10)
	before := b.store.finds.Load()
	for i, s := range secrets {
		id, found := b.find(t, s, soon)
		if found != Hit {
			t.Fatalf("a hit waited for the store: %s", found)
		}
		remembered[i] = id
	}
	b.awaitFresh(t, secrets, last, func() {})
	for i, s := range secrets {
		if id, _ := b.find(t, s, now); id != remembered[i] {
			t.Fatal("what is remembered of a key, and counted with it, has moved")
		}
	}
	// A query waits 20 ms at most for a hundred: a busy machine brings fewer.
	if asked := b.store.finds.Load() - before; asked > n/10 {
		t.Errorf("%d queries for %d keys", asked, n)
	}
}

func TestARefreshThatFailsIsTriedAgainAndTheKeyServes(t *testing.T) {
	o := testOptions
	b := newBench(t, o)
	secrets, now, last := b.inUse(t, 20)
	soon := now.Add(o.TTL * 9 / 10)
	asked := b.store.finds.Load()
	b.store.failWith(errors.New("no answer"))
	for deadline := time.Now().Add(10 * time.Second); b.store.finds.Load() < asked+2; time.Sleep(time.Millisecond) {
		for _, s := range secrets {
			if _, found := b.find(t, s, soon); found != Hit {
				t.Fatalf("a key that is fresh enough is found as %s", found)
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("a failed refresh is not tried again")
		}
	}
	b.store.failWith(nil)
	b.awaitFresh(t, secrets, last, func() {
		for _, s := range secrets {
			b.find(t, s, soon)
		}
	})
}

// With the feed cut nobody tells that a key has gone, or changed: that is what
// a ttl is for.
func TestARefreshFindsWhatNobodyTold(t *testing.T) {
	o := testOptions
	b := newBench(t, o)
	now := time.Now()
	gone, goneSecret := b.create(t, nil)
	off, offSecret := b.create(t, nil)
	secrets := []keys.Secret{goneSecret, offSecret}
	for _, s := range secrets {
		b.find(t, s, now)
	}
	b.deaf.Store(true)
	if err := b.store.Delete(t.Context(), by, gone.ID, keys.Guard{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.Update(t.Context(), by, off.ID, keys.Guard{}, func(k *keys.Key) error { k.Enabled = false; return nil }); err != nil {
		t.Fatal(err)
	}
	soon := now.Add(o.TTL * 9 / 10)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		first, _ := b.find(t, goneSecret, soon)
		second, _ := b.find(t, offSecret, soon)
		if first == nil && second != nil && !second.Enabled {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still remembered: %v, %v", first, second)
		}
	}
}

// The database has answered "known and enabled" for many keys, the answer is on
// its way, and one of them is deleted, another switched off.
func TestARefreshInFlightBringsNothingBack(t *testing.T) {
	o := testOptions
	b := newBench(t, o)
	secrets, now, last := b.inUse(t, 30)
	gone, goneSecret := b.create(t, nil)
	off, offSecret := b.create(t, nil)
	for _, s := range []keys.Secret{goneSecret, offSecret} {
		b.find(t, s, now)
	}
	answered, release := make(chan struct{}, 10), make(chan struct{})
	hold := func() { answered <- struct{}{}; <-release }
	b.store.hold.Store(&hold)
	soon := now.Add(o.TTL * 9 / 10)
	for _, s := range append(secrets, goneSecret, offSecret) {
		b.find(t, s, soon)
	}
	<-answered
	b.store.hold.Store(nil)
	if err := b.store.Delete(t.Context(), by, gone.ID, keys.Guard{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.Update(t.Context(), by, off.ID, keys.Guard{}, func(k *keys.Key) error { k.Enabled = false; return nil }); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		if id, found := b.find(t, goneSecret, soon); id != nil {
			t.Errorf("%s: the deleted key is found (%s)", when, found)
		}
		if id, found := b.find(t, offSecret, soon); id == nil || id.Enabled {
			t.Errorf("%s: the disabled key is found as %v (%s)", when, id, found)
		}
	}
	check("with the answer on its way")
	close(release)
	b.awaitFresh(t, secrets, last, func() {
		for _, s := range secrets {
			b.find(t, s, soon)
		}
	})
	check("when it has arrived")
}
