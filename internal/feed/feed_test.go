package feed

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// memory is a sink that remembers what it heard, and lets a test wait for it.
type memory struct {
	mu     sync.Mutex
	seqs   []keys.Seq
	resets int
	heard  chan struct{}
}

func newMemory() *memory { return &memory{heard: make(chan struct{}, 100_000)} }

func (m *memory) Apply(c keys.Change) {
	m.mu.Lock()
	m.seqs = append(m.seqs, c.Seq)
	m.mu.Unlock()
	m.heard <- struct{}{}
}

func (m *memory) Reset() {
	m.mu.Lock()
	m.resets++
	m.mu.Unlock()
	m.heard <- struct{}{}
}

// await waits until done says so, looking whenever something was heard.
func (m *memory) await(t *testing.T, done func(seqs []keys.Seq, resets int) bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		m.mu.Lock()
		ok := done(m.seqs, m.resets)
		m.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-m.heard:
		case <-timeout:
			t.Fatalf("waited in vain; heard %v, %d resets", m.seqs, m.resets)
		}
	}
}

// cuttable is a real store whose feed can be cut.
type cuttable struct {
	keys.Store
	mu  sync.Mutex
	cut error
}

func (c *cuttable) set(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = err
}

func (c *cuttable) Changes(ctx context.Context, after keys.Seq, limit int) ([]keys.Change, error) {
	c.mu.Lock()
	cut := c.cut
	c.mu.Unlock()
	if cut != nil {
		return nil, cut
	}
	return c.Store.Changes(ctx, after, limit)
}

func open(t *testing.T, path string, o keys.Options) keys.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func create(t *testing.T, s keys.Store, n int) {
	t.Helper()
	for range n {
		secret, err := keys.NewSecret("kw", nil)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		key := keys.Key{ID: keys.NewID(), Name: "n", Enabled: true, CreatedAt: now, UpdatedAt: now}
		if err := s.Create(t.Context(), keys.By{At: now}, "create", []keys.New{{Key: key, Digest: secret.Digest()}}); err != nil {
			t.Fatal(err)
		}
	}
}

func run(t *testing.T, f *Feed, onError func(error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx, onError)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func fatal(t *testing.T) func(error) {
	return func(err error) { t.Errorf("the feed failed: %v", err) }
}

func upTo(n int) []keys.Seq {
	var all []keys.Seq
	for i := range n {
		all = append(all, keys.Seq(i+1))
	}
	return all
}

func TestChangesOfAnotherHandleArriveInOrderAndOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	writer, reader := open(t, path, keys.Options{}), open(t, path, keys.Options{})
	sink := newMemory()
	f := New(reader, sink)
	run(t, f, fatal(t))
	sink.await(t, func(_ []keys.Seq, resets int) bool { return resets == 1 })
	create(t, writer, 50)
	sink.await(t, func(seqs []keys.Seq, _ int) bool { return len(seqs) >= 50 })
	if diff := cmp.Diff(upTo(50), sink.seqs); diff != "" {
		t.Error(diff)
	}
	if !f.Connected() {
		t.Error("not connected")
	}
}

func TestCutFeedGoesOnWhereItStopped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	writer := open(t, path, keys.Options{})
	reader := &cuttable{Store: open(t, path, keys.Options{})}
	sink := newMemory()
	f := New(reader, sink)
	faults := make(chan error, 1000)
	run(t, f, func(err error) { faults <- err })
	sink.await(t, func(_ []keys.Seq, resets int) bool { return resets == 1 })
	create(t, writer, 5)
	sink.await(t, func(seqs []keys.Seq, _ int) bool { return len(seqs) == 5 })

	cut := errors.New("connection reset")
	reader.set(cut)
	create(t, writer, 5)
	if err := <-faults; !errors.Is(err, cut) {
		t.Errorf("the fault is %v", err)
	}
	if f.Connected() {
		t.Error("connected while cut")
	}
	reader.set(nil)
	sink.await(t, func(seqs []keys.Seq, _ int) bool { return len(seqs) == 10 })
	if diff := cmp.Diff(upTo(10), sink.seqs); diff != "" || sink.resets != 1 {
		t.Errorf("%d resets, %s", sink.resets, diff)
	}
}

func TestFeedThatLostItsPlaceForgetsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	writer := open(t, path, keys.Options{MaxChanges: 10})
	reader := &cuttable{Store: open(t, path, keys.Options{MaxChanges: 10})}
	sink := newMemory()
	f := New(reader, sink)
	faults := make(chan error, 1000)
	run(t, f, func(err error) { faults <- err })
	sink.await(t, func(_ []keys.Seq, resets int) bool { return resets == 1 })
	reader.set(errors.New("cut"))
	create(t, writer, 1)
	if err := <-faults; err == nil {
		t.Fatal("the cut was no fault")
	}
	create(t, writer, 2000)
	reader.set(nil)
	sink.await(t, func(_ []keys.Seq, resets int) bool { return resets == 2 })
	create(t, writer, 1)
	sink.await(t, func(seqs []keys.Seq, _ int) bool { return len(seqs) > 0 && seqs[len(seqs)-1] == 2002 })
}

// unheard is a real store that tells nobody of changes.
type unheard struct{ keys.Store }

func (unheard) AwaitChange(ctx context.Context, _ keys.Seq) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestCatchingUpAppliesWhatWasNotHeardOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	writer := open(t, path, keys.Options{})
	sink := newMemory()
	f := New(unheard{open(t, path, keys.Options{})}, sink)
	if err := f.CatchUp(t.Context()); err == nil {
		t.Error("caught up with a feed that has no place")
	}
	run(t, f, fatal(t))
	sink.await(t, func(_ []keys.Seq, resets int) bool { return resets == 1 })
	for !f.Connected() { // it reads on from its place, once
		<-time.After(time.Millisecond)
	}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for range 20 {
				create(t, writer, 1)
				last, err := writer.LastSeq(t.Context())
				if err != nil {
					t.Error(err)
				}
				if err := f.CatchUp(t.Context()); err != nil {
					t.Error(err)
				}
				sink.mu.Lock()
				if n := len(sink.seqs); n == 0 || sink.seqs[n-1] < last {
					t.Errorf("change %d is not applied", last)
				}
				sink.mu.Unlock()
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff(upTo(200), sink.seqs); diff != "" {
		t.Error(diff)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.CatchUp(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with no time left: %v", err)
	}
}
