package gate

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func TestSecondLookupIsAHitAndAsksNobody(t *testing.T) {
	b := newBench(t, testOptions)
	key, secret := b.create(t, nil)
	now := time.Now()
	if id, found := b.find(t, secret, now); id == nil || id.ID() != key.ID || found != Miss {
		t.Fatalf("first: %+v, %s", id, found)
	}
	b.lookup.cache.Wait()
	if id, found := b.find(t, secret, now); id == nil || id.ID() != key.ID || found != Hit {
		t.Fatalf("second: %+v, %s", id, found)
	}
	if n := b.store.finds.Load(); n != 1 {
		t.Errorf("the store was asked %d times", n)
	}
}

func TestNextRequestSeesEveryChange(t *testing.T) {
	b := newBench(t, testOptions)
	now := time.Now()
	edit := func(f func(*keys.Key)) func(keys.ID) error {
		return func(id keys.ID) error {
			_, err := b.store.Update(t.Context(), by, id, keys.Guard{}, func(k *keys.Key) error { f(k); return nil })
			return err
		}
	}
	changes := map[string]struct {
		change func(keys.ID) error
		want   Outcome
	}{
		"disable": {edit(func(k *keys.Key) { k.Enabled = false }), DisabledKey},
		"expire":  {edit(func(k *keys.Key) { k.ExpiresAt = now.Add(-time.Millisecond) }), ExpiredKey},
		"delete":  {func(id keys.ID) error { return b.store.Delete(t.Context(), by, id, keys.Guard{}) }, UnknownKey},
		"rotate": {func(id keys.ID) error {
			s, err := keys.NewSecret("kw", nil)
			if err != nil {
				return err
			}
			_, err = b.store.Rotate(t.Context(), by, id, keys.Guard{}, s.Digest(), s.Prefix(), time.Time{})
			return err
		}, UnknownKey},
	}
	for name, c := range changes {
		for _, cached := range []bool{true, false} {
			key, secret := b.create(t, nil)
			if cached {
				b.find(t, secret, now)
				b.lookup.cache.Wait()
			}
			if err := c.change(key.ID); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			id, _ := b.find(t, secret, now)
			if d := JudgeKey(id, now); d.Outcome != c.want {
				t.Errorf("%s, cached %t: %s, want %s", name, cached, d.Outcome, c.want)
			}
		}
	}
}

func TestExpiryIsExactToTheMillisecond(t *testing.T) {
	b := newBench(t, testOptions)
	end := time.UnixMilli(time.Now().Add(time.Hour).UnixMilli())
	_, secret := b.create(t, func(k *keys.Key) { k.ExpiresAt = end })
	for _, c := range []struct {
		at   time.Time
		want Outcome
	}{{end.Add(-time.Millisecond), Allowed}, {end.Add(-time.Nanosecond), Allowed}, {end, ExpiredKey}, {end.Add(time.Hour), ExpiredKey}} {
		for range 2 { // not cached, cached
			id, _ := b.find(t, secret, time.Now())
			if d := JudgeKey(id, c.at); d.Outcome != c.want {
				t.Errorf("at %s of the end: %s, want %s", c.at.Sub(end), d.Outcome, c.want)
			}
			b.lookup.cache.Wait()
		}
	}
}

func TestGraceEndsExactly(t *testing.T) {
	b := newBench(t, testOptions)
	key, old := b.create(t, nil)
	fresh, err := keys.NewSecret("kw", nil)
	if err != nil {
		t.Fatal(err)
	}
	ends := time.UnixMilli(time.Now().Add(time.Hour).UnixMilli())
	if _, err := b.store.Rotate(t.Context(), by, key.ID, keys.Guard{}, fresh.Digest(), fresh.Prefix(), ends); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]Outcome{ends.Add(-time.Millisecond): Allowed, ends: UnknownKey} {
		id, _ := b.find(t, old, time.Now())
		if d := JudgeKey(id, at); d.Outcome != want {
			t.Errorf("old secret at %s of the end: %s, want %s", at.Sub(ends), d.Outcome, want)
		}
		id, _ = b.find(t, fresh, time.Now())
		if d := JudgeKey(id, at); d.Outcome != Allowed || d.Key.ID() != key.ID {
			t.Errorf("new secret at %s of the end: %s", at.Sub(ends), d.Outcome)
		}
	}
}

// The database has answered "known and enabled", the answer is on its way,
// and the key is deleted: nobody may be let in by it after the deletion was
// acknowledged. A thousand times, with readers at full speed; run under -race.
func TestRevokedKeyIsNotBroughtBackByLookupInFlight(t *testing.T) {
	b := newBench(t, testOptions)
	rounds := 1000
	for range rounds {
		key, secret := b.create(t, nil)
		answered, release := make(chan struct{}), make(chan struct{})
		var once atomic.Bool
		hold := func() {
			if once.CompareAndSwap(false, true) {
				close(answered)
				<-release
			}
		}
		b.store.hold.Store(&hold)
		var inFlight sync.WaitGroup
		inFlight.Go(func() {
			if _, _, err := b.lookup.Find(t.Context(), new(secret.Digest()), time.Now()); err != nil {
				t.Error(err)
			}
		})
		<-answered
		if err := b.store.Delete(t.Context(), by, key.ID, keys.Guard{}); err != nil {
			t.Fatal(err)
		}
		// Acknowledged. From here on nobody may find it: not while the old
		// answer is on its way, not when it arrives, not afterwards.
		if id, found := b.find(t, secret, time.Now()); id != nil {
			t.Fatalf("found (%s) after the deletion, the old look-up still under way", found)
		}
		var readers sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				for range 20 {
					if id, found := b.find(t, secret, time.Now()); id != nil {
						t.Errorf("found (%s) after the deletion", found)
					}
				}
			})
		}
		close(release)
		inFlight.Wait()
		readers.Wait()
		b.lookup.cache.Wait()
		if id, found := b.find(t, secret, time.Now()); id != nil {
			t.Fatalf("found (%s) after all came home", found)
		}
	}
}

func TestTenThousandRequestsForAColdKeyAreOneQuery(t *testing.T) {
	b := newBench(t, testOptions)
	_, secret := b.create(t, nil)
	const requests = 10_000
	release := make(chan struct{})
	hold := func() { <-release }
	b.store.hold.Store(&hold)
	var waiting, all sync.WaitGroup
	waiting.Add(requests)
	for range requests {
		all.Go(func() {
			waiting.Done()
			if id, _ := b.find(t, secret, time.Now()); id == nil {
				t.Error("not found")
			}
		})
	}
	waiting.Wait()
	close(release)
	all.Wait()
	if n := b.store.finds.Load(); n != 1 {
		t.Errorf("%d queries for %d requests", n, requests)
	}
}

func TestCreatedKeyWorksAtOnceWhereItWasRememberedAsUnknown(t *testing.T) {
	b := newBench(t, testOptions)
	secret, err := keys.NewSecret("kw", nil)
	if err != nil {
		t.Fatal(err)
	}
	if id, _ := b.find(t, secret, time.Now()); id != nil {
		t.Fatal("found before it was created")
	}
	b.lookup.cache.Wait()
	if _, found := b.find(t, secret, time.Now()); found != Unknown {
		t.Fatalf("second look-up is a %s", found)
	}
	key := keys.Key{ID: keys.NewID(), Name: "n", Enabled: true, CreatedAt: time.Now(), UpdatedAt: time.Now()}
	if err := b.store.Create(t.Context(), by, "import", []keys.New{{Key: key, Digest: secret.Digest()}}); err != nil {
		t.Fatal(err)
	}
	if id, found := b.find(t, secret, time.Now()); id == nil || id.ID() != key.ID {
		t.Errorf("after it was created: %s", found)
	}
}

// The clock is the bubble's: the breaker's pause takes no time.
func TestStoreDownAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := testOptions
		b := newBench(t, o)
		_, secret := b.create(t, nil)
		_, other := b.create(t, nil)
		now := time.Now()
		b.find(t, secret, now)
		b.lookup.cache.Wait()
		down := errors.New("connection refused")
		b.store.failWith(down)

		find := func(s keys.Secret, after time.Duration) (Found, error) {
			_, found, err := b.lookup.Find(t.Context(), new(s.Digest()), now.Add(after))
			return found, err
		}
		if found, err := find(secret, o.TTL/2); err != nil || found != Hit {
			t.Errorf("within its ttl: %s, %v", found, err)
		}
		if found, err := find(secret, o.TTL+time.Second); err != nil || found != Stale {
			t.Errorf("past its ttl: %s, %v", found, err)
		}
		if _, err := find(secret, o.StaleIfError+time.Second); !errors.Is(err, down) {
			t.Errorf("past stale_if_error: %v", err)
		}
		if _, err := find(other, 0); err == nil {
			t.Error("a key that is not cached was answered")
		}
		// The breaker opens: nobody asks the store any more for a while.
		for range breakerFailures {
			_, _ = find(other, 0)
		}
		asked := b.store.finds.Load()
		for range 100 {
			if found, err := find(secret, o.TTL+time.Second); err != nil || found != Stale {
				t.Fatalf("with an open breaker: %s, %v", found, err)
			}
		}
		if n := b.store.finds.Load() - asked; n > 1 {
			t.Errorf("a store known to be down was asked %d times for 100 requests", n)
		}

		b.store.failWith(nil)
		time.Sleep(breakerPause - time.Millisecond)
		if _, err := find(other, 0); !errors.Is(err, gobreaker.ErrOpenState) {
			t.Errorf("before the breaker's pause has ended: %v", err)
		}
		time.Sleep(2 * time.Millisecond)
		if found, err := find(other, 0); err != nil || found != Miss {
			t.Errorf("when the breaker's pause has ended: %s, %v", found, err)
		}
	})
}

// A store that hangs is asked beside the requests once that is known: they
// would wait out its timeout one after the other.
func TestAStoreThatHangsHoldsUpNoRememberedKey(t *testing.T) {
	o := testOptions
	b := newBench(t, o)
	_, secret := b.create(t, nil)
	b.find(t, secret, time.Now())
	late := func() Found {
		t.Helper()
		_, found := b.find(t, secret, time.Now().Add(o.TTL+time.Second))
		return found
	}
	b.store.failWith(errors.New("no answer"))
	if found := late(); found != Stale {
		t.Fatalf("when the store failed: %s", found)
	}
	b.store.failWith(nil)
	held := make(chan struct{})
	hold := func() { <-held }
	b.store.hold.Store(&hold)
	for range 100 { // one after the other, and none waits
		if found := late(); found != Stale {
			t.Fatalf("while the store hangs: %s", found)
		}
	}
	close(held)
	// It has answered that question, so the next one waits for an answer.
	for deadline := time.Now().Add(5 * time.Second); late() != Miss; {
		if time.Now().After(deadline) {
			t.Fatal("what is remembered still serves after the store has answered")
		}
	}
	if found := late(); found != Miss {
		t.Errorf("with the store back: %s", found)
	}
}

func TestKeyInUseIsRefreshedBeforeItsTTLEnds(t *testing.T) {
	o := testOptions
	b := newBench(t, o)
	_, secret := b.create(t, nil)
	now := time.Now()
	b.find(t, secret, now)
	b.lookup.cache.Wait()
	asked, release := make(chan struct{}, 10), make(chan struct{})
	// Until the last of the hits: after the answer, these would ask once more.
	hold := func() { asked <- struct{}{}; <-release }
	b.store.hold.Store(&hold)
	defer close(release)
	for range 5 {
		if _, found := b.find(t, secret, now.Add(o.TTL*9/10)); found != Hit {
			t.Fatalf("a hit waited for the store: %s", found)
		}
	}
	<-asked
	if n := b.store.finds.Load(); n != 2 {
		t.Errorf("the store was asked %d times, want 2", n)
	}
}

func TestRequestThatGivesUpFailsNoOther(t *testing.T) {
	b := newBench(t, testOptions)
	_, secret := b.create(t, nil)
	answered, release := make(chan struct{}), make(chan struct{})
	hold := func() { answered <- struct{}{}; <-release }
	b.store.hold.Store(&hold)
	impatient, giveUp := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, _, err := b.lookup.Find(impatient, new(secret.Digest()), time.Now())
		first <- err
	}()
	<-answered
	second := make(chan *keys.Identity)
	go func() {
		id, _, err := b.lookup.Find(t.Context(), new(secret.Digest()), time.Now())
		if err != nil {
			t.Error(err)
		}
		second <- id
	}()
	giveUp()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that gave up got %v", err)
	}
	none := func() {}
	b.store.hold.Store(&none)
	close(release)
	if id := <-second; id == nil {
		t.Error("the other one did not get its key")
	}
}

func TestFloodOfUnknownSecretsIsBoundedAndShutsOutNobody(t *testing.T) {
	o := testOptions
	o.UnknownRate = 50
	b := newBench(t, o)
	var known []keys.Secret
	for range 20 {
		_, secret := b.create(t, nil)
		known = append(known, secret)
	}
	b.lookup.Reset()
	if err := b.lookup.fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	// More are created after the filter was filled.
	for range 20 {
		_, secret := b.create(t, nil)
		known = append(known, secret)
	}
	began := time.Now()
	busy := 0
	for range 20_000 {
		secret, err := keys.NewSecret("kw", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.lookup.Find(t.Context(), new(secret.Digest()), time.Now()); err != nil {
			busy++
		}
	}
	allowed := 50 + 50*time.Since(began).Seconds()
	if n := b.store.finds.Load(); float64(n) > allowed {
		t.Errorf("%d look-ups, at most %.0f allowed", n, allowed)
	}
	if busy == 0 {
		t.Error("nothing was refused")
	}
	for i, secret := range known {
		if id, _ := b.find(t, secret, time.Now()); id == nil {
			t.Errorf("key %d was shut out", i)
		}
	}
}

func TestFilterTakesUpWhatComesWhileItIsFilled(t *testing.T) {
	var f filter
	early, late := keys.Digest{1}, keys.Digest{2}
	err := f.fill(1, func(yield func(keys.Digest) bool) error {
		yield(early)
		f.add([]keys.Digest{late})
		return nil
	})
	if err != nil || !f.mayHold(&early) || !f.mayHold(&late) {
		t.Errorf("early %t, late %t, %v", f.mayHold(&early), f.mayHold(&late), err)
	}
	if f.mayHold(&keys.Digest{3}) {
		t.Error("takes anything for known")
	}
	err = f.fill(1, func(func(keys.Digest) bool) error {
		f.invalidate()
		return nil
	})
	if err != nil || !f.mayHold(&keys.Digest{3}) {
		t.Error("a filling that was out of date was taken")
	}
}

// A reload may close the store while queries are under way whose requests
// have gone.
func TestClosingWaitsForQueriesThatNobodyWaitsForAnyMore(t *testing.T) {
	b := newBench(t, testOptions)
	_, secret := b.create(t, nil)
	asked, release := make(chan struct{}), make(chan struct{})
	hold := func() { close(asked); <-release }
	b.store.hold.Store(&hold)
	ctx, giveUp := context.WithCancel(t.Context())
	found := make(chan error)
	go func() {
		_, _, err := b.lookup.Find(ctx, new(secret.Digest()), time.Now())
		found <- err
	}()
	<-asked
	giveUp()
	if err := <-found; !errors.Is(err, context.Canceled) {
		t.Errorf("the request was told %v", err)
	}
	closed := make(chan struct{})
	go func() { b.lookup.Close(); close(closed) }()
	select {
	case <-closed:
		t.Error("closed under a query")
	default:
	}
	close(release)
	<-closed
}
