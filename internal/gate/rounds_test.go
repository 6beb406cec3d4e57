package gate

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/feed"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// deaf is a store that tells nobody of changes; who asks is answered.
type deaf struct {
	keys.Store
	reads atomic.Int64
}

func (d *deaf) AwaitChange(ctx context.Context, _ keys.Seq) error {
	<-ctx.Done()
	return ctx.Err()
}

func (d *deaf) Changes(ctx context.Context, after keys.Seq, limit int) ([]keys.Change, error) {
	d.reads.Add(1)
	return d.Store.Changes(ctx, after, limit)
}

// soon waits until holds does.
func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("30 s later it is not so that %s", what)
		}
	}
}

// newNode is a node whose keys are made on another one: it returns that one's
// store, too. Of no change it hears by itself.
func newNode(t *testing.T, o LookupOptions) (node *bench, source *deaf, other keys.Store) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.db")
	open := func() keys.Store {
		s, err := sqlite.Open(t.Context(), path, keys.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	source, other = &deaf{Store: open()}, open()
	held := &heldStore{Store: source}
	lookup, err := NewLookup(held, o)
	if err != nil {
		t.Fatal(err)
	}
	f := feed.New(source, lookup)
	lookup.CatchUp = f.CatchUp
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx, func(err error) { t.Errorf("the feed: %v", err) }) })
	soon(t, "the feed connects", f.Connected)
	if err := lookup.fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		running.Wait()
		lookup.Close()
		if err := errors.Join(source.Close(), other.Close()); err != nil {
			t.Error(err)
		}
	})
	return &bench{store: held, lookup: lookup}, source, other
}

func unknownDigest(t *testing.T) keys.Digest {
	t.Helper()
	secret, err := keys.NewSecret("kw", nil)
	if err != nil {
		t.Error(err)
	}
	return secret.Digest()
}

func TestAKeyMadeOnAnotherNodeDuringAFloodWorksOnItsFirstRequest(t *testing.T) {
	o := testOptions
	o.UnknownRate = 50
	node, source, other := newNode(t, o)
	elsewhere := &bench{store: &heldStore{Store: other}}
	began := time.Now()
	stop := make(chan struct{})
	var flood sync.WaitGroup
	var refused atomic.Int64
	for range 8 {
		flood.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				id, _, err := node.lookup.Find(t.Context(), new(unknownDigest(t)), time.Now())
				if err != nil || id != nil {
					t.Errorf("an unknown secret: %v, %v", id, err)
				}
				refused.Add(1)
			}
		})
	}
	soon(t, "the flood uses up all tokens", func() bool { return node.lookup.unknown.Tokens() <= 0 })
	const made = 30
	for i := range made {
		_, secret := elsewhere.create(t, nil)
		if id, _ := node.find(t, secret, time.Now()); id == nil {
			t.Errorf("key %d was refused on its first request", i)
		}
	}
	close(stop)
	flood.Wait()
	// One second's worth may be taken in advance, and one is there at first.
	asked, allowed := node.store.finds.Load()+source.reads.Load(), 50*(2+time.Since(began).Seconds())+made
	if float64(asked) > allowed {
		t.Errorf("%d queries for %d unknown secrets, at most %.0f allowed", asked, refused.Load(), allowed)
	}
}

func TestDuringAFloodNobodyIsCalledUnknownWhoCannotBeToldApart(t *testing.T) {
	o := testOptions
	o.UnknownRate = 1
	b := newBench(t, o)
	if err := b.lookup.fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	cut := errors.New("connection reset")
	b.lookup.CatchUp = func(context.Context) error { return cut }
	b.lookup.unknown.Allow()
	if id, found, err := b.lookup.Find(t.Context(), new(unknownDigest(t)), time.Now()); !errors.Is(err, errBusy) || !errors.Is(err, cut) {
		t.Errorf("got %v, %s, %v", id, found, err)
	}
	// A store that was down a moment ago is not waited for.
	b.lookup.CatchUp = func(context.Context) error { t.Error("asked"); return nil }
	b.lookup.failed.Store(int64(time.Since(b.lookup.start)))
	if id, found, err := b.lookup.Find(t.Context(), new(unknownDigest(t)), time.Now()); !errors.Is(err, errBusy) {
		t.Errorf("got %v, %s, %v", id, found, err)
	}
}

// A deleted key stays in the filter for a while: each query for one counts.
func TestLookUpsOfDeletedKeysUseUpTheAllowance(t *testing.T) {
	o := testOptions
	o.UnknownRate = 10
	b := newBench(t, o)
	if err := b.lookup.fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		key, secret := b.create(t, nil)
		if err := b.store.Delete(t.Context(), by, key.ID, keys.Guard{}); err != nil {
			t.Fatal(err)
		}
		if id, _ := b.find(t, secret, time.Now()); id != nil {
			t.Error("a deleted key was found")
		}
	}
	if left := b.lookup.unknown.Tokens(); left > 5 || left < -11 {
		t.Errorf("%v look-ups are left of 10", left)
	}
}

func TestEachRoundBeginsAfterThoseThatItIsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rounds
		r.every(500)
		var clock, asked atomic.Int64
		ask := func(context.Context) error {
			asked.Add(1)
			clock.Add(1) // what is known from now on
			time.Sleep(3 * time.Millisecond)
			return nil
		}
		began := time.Now()
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Microsecond)
				before := clock.Load()
				if err := r.join(t.Context(), ask); err != nil {
					t.Error(err)
				}
				if clock.Load() <= before {
					t.Error("the answer is older than the request")
				}
			})
		}
		all.Wait()
		// 100 ms of requests, a round each 5 ms.
		if n := asked.Load(); n > 22 || time.Since(began) > 120*time.Millisecond {
			t.Errorf("%d rounds in %s", n, time.Since(began))
		}
	})
}

func TestARoundThatHangsIsGivenUpAndTheNextOneIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rounds
		r.every(500)
		hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		began := time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := r.join(t.Context(), hangs); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took > storeTimeout+time.Second {
			t.Errorf("waited %s", took)
		}
		if err := r.join(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

func TestOneWhoGivesUpLeavesTheRoundToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rounds
		r.every(500)
		slow := func(ctx context.Context) error {
			select {
			case <-time.After(900 * time.Millisecond):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		join := func(ctx context.Context) <-chan error {
			done := make(chan error, 1)
			go func() { done <- r.join(ctx, slow) }()
			synctest.Wait()
			return done
		}
		impatient, giveUp := context.WithCancel(t.Context())
		first := join(t.Context())
		leads, follows, leaves := join(impatient), join(t.Context()), join(impatient)
		giveUp()
		if err := <-leaves; !errors.Is(err, context.Canceled) {
			t.Errorf("who left was told %v", err)
		}
		for _, stays := range []<-chan error{first, follows} {
			if err := <-stays; err != nil {
				t.Errorf("who stayed was told %v", err)
			}
		}
		if err := <-leads; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("who led and left was told %v", err)
		}
	})
}

func TestHowManyMayWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rounds
		r.every(500)
		release := make(chan struct{})
		ask := func(context.Context) error { <-release; return nil }
		var crowded, fine atomic.Int64
		var all sync.WaitGroup
		for range maxJoined + 500 {
			all.Go(func() {
				switch err := r.join(t.Context(), ask); {
				case errors.Is(err, errCrowded):
					crowded.Add(1)
				case err == nil:
					fine.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(release)
		all.Wait()
		if crowded.Load() != 500 || fine.Load() != maxJoined {
			t.Errorf("%d were turned away, %d answered", crowded.Load(), fine.Load())
		}
		if err := r.join(t.Context(), ask); err != nil || r.joined.Load() != 0 {
			t.Errorf("afterwards: %v, %d wait", err, r.joined.Load())
		}
	})
}

func TestThoseWhoWaitedGoOnEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rounds
		r.every(500)
		const waiting = 400
		began := time.Now()
		var mu sync.Mutex
		went := map[time.Duration]int{}
		var all sync.WaitGroup
		join := func(n int) {
			for range n {
				all.Go(func() {
					if err := r.join(t.Context(), func(context.Context) error { return nil }); err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					went[time.Since(began)]++
				})
			}
			synctest.Wait()
		}
		join(1) // the first one waits for nobody
		join(waiting)
		all.Wait()
		took, most := time.Duration(0), 0
		for at, n := range went {
			took, most = max(took, at), max(most, n)
		}
		if took > 2*roundEvery || most > waiting/6 {
			t.Errorf("%d at once, the last one after %s: %v", most, took, went)
		}
		// So few disturb nobody.
		began, went = time.Now(), map[time.Duration]int{}
		join(fewWait)
		all.Wait()
		if len(went) > 1 {
			t.Errorf("%d went on at different times: %v", fewWait, went)
		}
	})
}

// Who came for a round and gave up before its end keeps nobody.
func TestThoseWhoLeftKeepNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rounds
		r.every(500)
		ctx, leave := context.WithCancel(t.Context())
		answer := make(chan struct{})
		ask := func(context.Context) error { <-answer; return nil }
		var all sync.WaitGroup
		left, stayed := 0, 0
		var mu sync.Mutex
		for i := range 200 {
			all.Go(func() {
				mine := t.Context()
				if i%2 == 0 {
					mine = ctx
				}
				err := r.join(mine, ask)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					stayed++
				case errors.Is(err, context.Canceled):
					left++
				default:
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(answer)
		all.Wait()
		if left+stayed != 200 || stayed < 100 || left < 98 { // who leads asks for the others
			t.Errorf("%d left, %d stayed", left, stayed)
		}
	})
}
