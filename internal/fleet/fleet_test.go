package fleet

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// shaky is a real store that can be cut off, and counts.
type shaky struct {
	keys.Store
	cut         atomic.Bool
	puts, looks atomic.Int64
}

var errCut = errors.New("cut off")

func (s *shaky) PutNode(ctx context.Context, n keys.Node, apis []keys.Declared) (time.Time, error) {
	s.puts.Add(1)
	if s.cut.Load() {
		return time.Time{}, errCut
	}
	return s.Store.PutNode(ctx, n, apis)
}

func (s *shaky) Beat(ctx context.Context, id string, p keys.Pulse) (time.Time, error) {
	if s.cut.Load() {
		return time.Time{}, errCut
	}
	return s.Store.Beat(ctx, id, p)
}

func (s *shaky) Nodes(ctx context.Context) ([]keys.Node, keys.Seq, error) {
	s.looks.Add(1)
	if s.cut.Load() {
		return nil, 0, errCut
	}
	return s.Store.Nodes(ctx)
}

func openStore(t *testing.T) *shaky {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "keys.db"), keys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &shaky{Store: s}
}

// change makes a change and returns its number.
func change(t *testing.T, s keys.Store) keys.Seq {
	t.Helper()
	if err := s.PutEndpoint(t.Context(), keys.By{At: time.Now()}, keys.Endpoint{API: "a", ID: string(keys.NewID())}); err != nil {
		t.Fatal(err)
	}
	seq, err := s.LastSeq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// join makes a member that runs until the test, or stop, ends it.
func join(t *testing.T, store Store, o Options) (m *Member, stop func()) {
	t.Helper()
	o.Store = store
	if o.Keeps == 0 {
		o.Keeps = time.Hour
	}
	m = New(o)
	if err := m.Tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run(ctx, func(err error) {
			if !errors.Is(err, errCut) {
				t.Errorf("the member failed: %v", err)
			}
		})
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return m, stop
}

// await returns the names of the nodes that are behind after the given time.
func await(t *testing.T, m *Member, most time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	behind, err := m.Await(ctx)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(behind))
	for i, n := range behind {
		names[i] = n.Name
	}
	return strings.Join(names, " ")
}

// eventually polls what another goroutine writes into the store.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to be that %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func nodes(t *testing.T, s keys.Store) map[string]keys.Node {
	t.Helper()
	all, _, err := s.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]keys.Node{}
	for _, n := range all {
		byName[n.Name] = n
	}
	return byName
}

const (
	briefly = 60 * time.Millisecond
	long    = 20 * time.Second
)

func TestAChangeIsAwaitedOnEveryLiveNode(t *testing.T) {
	store := openStore(t)
	a, _ := join(t, store, Options{Name: "a"})
	if got := await(t, a, long); got != "" {
		t.Errorf("alone, %s is waited for", got)
	}
	b, _ := join(t, store, Options{Name: "b"})
	c, stop := join(t, store, Options{Name: "c"})
	seq := change(t, store)
	if got := await(t, a, briefly); got != "b c" {
		t.Errorf("behind are %q, want b and c", got)
	}
	b.Reached(seq)
	eventually(t, "only c is behind", func() bool { return await(t, a, briefly) == "c" })
	if got := await(t, b, briefly); got != "a c" {
		t.Errorf("for b, behind are %q, want a and c", got)
	}
	c.Reached(seq - 1) // a part of the way
	if got := await(t, a, briefly); got != "c" {
		t.Errorf("behind are %q, want c", got)
	}
	done := make(chan string)
	go func() { done <- await(t, a, long) }()
	c.Reached(seq)
	if got := <-done; got != "" {
		t.Errorf("behind are %q, want none", got)
	}
	change(t, store)
	b.Reached(seq + 1)
	go func() { done <- await(t, a, long) }()
	stop() // who leaves is not waited for
	if got := <-done; got != "" {
		t.Errorf("behind are %q, want none, as c has left", got)
	}
}

func TestASilentNodeIsNamedButNotWaitedFor(t *testing.T) {
	store := openStore(t)
	a, _ := join(t, store, Options{Name: "a"})
	silent := keys.Node{ID: "node_b", Name: "b", Lease: -time.Hour, Keeps: 2 * time.Hour}
	if _, err := store.Store.PutNode(t.Context(), silent, nil); err != nil {
		t.Fatal(err)
	}
	change(t, store)
	began := time.Now()
	if got := await(t, a, long); got != "b" || time.Since(began) > long/2 {
		t.Errorf("after %s behind are %q, want b at once", time.Since(began), got)
	}
	silent.Keeps = time.Hour // gone: by its own memory it lets nobody in any more
	if _, err := store.Store.PutNode(t.Context(), silent, nil); err != nil {
		t.Fatal(err)
	}
	if got := await(t, a, long); got != "" {
		t.Errorf("behind are %q, want none", got)
	}
}

func TestAwaitSaysWhenNothingIsKnown(t *testing.T) {
	store := openStore(t)
	a, _ := join(t, store, Options{Name: "a"})
	join(t, store, Options{Name: "b"})
	change(t, store)
	store.cut.Store(true)
	if behind, err := a.Await(t.Context()); !errors.Is(err, errCut) {
		t.Errorf("got %v, %v", behind, err)
	}
	store.cut.Store(false)
	ctx, cancel := context.WithTimeout(t.Context(), briefly)
	defer cancel()
	looked := store.looks.Load()
	go func() {
		for store.looks.Load() == looked && ctx.Err() == nil {
			<-time.After(time.Millisecond)
		}
		store.cut.Store(true)
	}()
	behind, err := a.Await(ctx)
	if err == nil && (len(behind) != 1 || behind[0].Name != "b") {
		t.Errorf("what was seen before the cut is %v", behind)
	}
}

func TestManyWhoWaitShareTheirLooks(t *testing.T) {
	store := openStore(t)
	a, _ := join(t, store, Options{Name: "a"})
	b, _ := join(t, store, Options{Name: "b"})
	seq := change(t, store)
	before := store.looks.Load()
	began := time.Now()
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if got := await(t, a, long); got != "" {
				t.Errorf("behind are %q", got)
			}
		})
	}
	eventually(t, "they look again and again", func() bool { return store.looks.Load() > before+110 })
	b.Reached(seq)
	all.Wait()
	// Each looks once for itself, to begin with; then one looks for all.
	if n, most := store.looks.Load()-before, 100+int64(time.Since(began)/lookEvery)+10; n > most {
		t.Errorf("%d looks, at most %d expected", n, most)
	}
}

func TestReachedChangesAreToldPromptlyHoweverRareBeatsAre(t *testing.T) {
	store := openStore(t)
	m, _ := join(t, store, Options{Name: "a", Every: time.Hour})
	for seq := range keys.Seq(30) {
		m.Reached(seq + 1)
		eventually(t, "it is told", func() bool { return nodes(t, store)["a"].Applied == seq+1 })
	}
}

func TestWhatIsDeclaredIsPutWhenItChanges(t *testing.T) {
	store := openStore(t)
	m, _ := join(t, store, Options{Name: "a", Every: 5 * time.Millisecond})
	apis := []keys.Declared{{Name: "rest", Title: "REST", Patterns: []string{"/rest/*"}, Endpoints: []string{"users"}}}
	m.Declare("a", apis, time.Minute)
	eventually(t, "it is declared", func() bool {
		got, err := store.Declared(t.Context(), "")
		return err == nil && cmp.Equal(got, apis)
	})
	if got := nodes(t, store)["a"].Keeps; got != time.Minute {
		t.Errorf("keeps is %s", got)
	}
	puts := store.puts.Load()
	for seq := range keys.Seq(5) {
		m.Declare("a", []keys.Declared{{Name: "rest", Title: "REST", Patterns: []string{"/rest/*"}, Endpoints: []string{"users"}}}, time.Minute)
		m.Reached(seq + 1)
		eventually(t, "it is told", func() bool { return nodes(t, store)["a"].Applied == seq+1 })
	}
	if got := store.puts.Load(); got != puts {
		t.Errorf("put %d times more, though nothing had changed", got-puts)
	}
	m.Declare("a", nil, time.Minute)
	eventually(t, "nothing is declared", func() bool {
		got, err := store.Declared(t.Context(), "")
		return err == nil && len(got) == 0
	})
	m.Declare("gw 2", nil, time.Minute)
	eventually(t, "it has its new name", func() bool { return nodes(t, store)["gw-2"].ID == m.ID() })
}

func TestAForgottenNodeMakesItselfKnownAgain(t *testing.T) {
	store := openStore(t)
	m, _ := join(t, store, Options{Name: "a", Every: 5 * time.Millisecond})
	m.Declare("a", []keys.Declared{{Name: "rest"}}, time.Hour)
	eventually(t, "it is declared", func() bool { got, err := store.Declared(t.Context(), ""); return err == nil && len(got) == 1 })
	if err := store.DropNode(t.Context(), m.ID()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is there again", func() bool {
		got, err := store.Declared(t.Context(), "")
		return err == nil && len(got) == 1 && len(nodes(t, store)) == 1
	})
}

func TestWhatCouldNotBeToldIsToldLater(t *testing.T) {
	store := openStore(t)
	m, _ := join(t, store, Options{Name: "a", Every: 5 * time.Millisecond})
	store.cut.Store(true)
	m.Declare("a", []keys.Declared{{Name: "rest"}}, time.Hour)
	m.Reached(9)
	tried := store.puts.Load()
	eventually(t, "it was tried", func() bool { return store.puts.Load() > tried+1 })
	store.cut.Store(false)
	eventually(t, "all is told", func() bool {
		got, err := store.Declared(t.Context(), "")
		return err == nil && len(got) == 1 && nodes(t, store)["a"].Applied == 9
	})
}

func TestANodeLeavesWhenItEnds(t *testing.T) {
	store := openStore(t)
	_, stop := join(t, store, Options{Name: "a"})
	if len(nodes(t, store)) != 1 {
		t.Fatal("it is not there")
	}
	stop()
	if got := nodes(t, store); len(got) != 0 {
		t.Errorf("still there: %v", got)
	}
}

func TestAClockThatIsOffIsToldAndShown(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour, 3 * time.Second, 0} {
		store := openStore(t)
		told := make(chan time.Duration, 1000)
		join(t, store, Options{
			Name: "a", Every: 5 * time.Millisecond, Now: func() time.Time { return time.Now().Add(off) },
			Skewed: func(ahead time.Duration) { told <- ahead },
		})
		eventually(t, "it is shown", func() bool { return (nodes(t, store)["a"].Skew - off).Abs() < time.Second })
		if off.Abs() < MaxSkew {
			if len(told) > 0 {
				t.Errorf("off by %s, which is little: told %s", off, <-told)
			}
			continue
		}
		if got := <-told; (got - off).Abs() > time.Second {
			t.Errorf("off by %s: told %s", off, got)
		}
	}
}

func TestNamesCanStandInAHeader(t *testing.T) {
	for given, want := range map[string]string{
		"web-1.example.com:4711": "web-1.example.com:4711", "": "unnamed", "a, b\r\nX: y": "a--b--X:-y", "büro": "b-ro",
		strings.Repeat("x", 300): strings.Repeat("x", 100),
	} {
		if got := Name(given); got != want {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
	}
}
