package usage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// losing is a real store whose answers to AddUsage can be lost: before it was
// done, or after.
type losing struct {
	keys.Store
	before, after error
	calls         int
	pruned        int
}

func (l *losing) AddUsage(ctx context.Context, b keys.UsageBatch) error {
	l.calls++
	if l.before != nil {
		return l.before
	}
	return errors.Join(l.Store.AddUsage(ctx, b), l.after)
}

func (l *losing) PruneUsage(ctx context.Context, keep keys.UsageKeep, now time.Time, every time.Duration) error {
	l.pruned++
	return l.Store.PruneUsage(ctx, keep, now, every)
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func reads(endpoint string) keys.What {
	return keys.What{API: "rest", Endpoint: endpoint, Access: permission.Read, Outcome: keys.OutcomeAllowed}
}

// counted returns how often a key was used on the day of noon, by endpoint.
func counted(t testing.TB, s keys.Store, id keys.ID) map[string]int64 {
	t.Helper()
	u, err := s.Usage(t.Context(), keys.UsageQuery{Key: id, Step: keys.Day, From: noon, To: noon.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for _, use := range u.Uses {
		out[use.Endpoint] += use.N
	}
	return out
}

func flush(t testing.TB, r *Recorder) {
	t.Helper()
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRequestsAreCountedByWhatTheyAreFor(t *testing.T) {
	s := newStore(t)
	r := New(s)
	id, other := createKey(t, s), createKey(t, s)
	refused := keys.What{API: "rest", Access: permission.Write, Outcome: "insufficient_access"}
	for i := range 30 {
		r.Count(id, reads(fmt.Sprintf("e%d", i%20)), noon)
	}
	r.Count(id, refused, noon.Add(2*time.Second))
	r.Count(other, refused, noon)
	flush(t, r)
	got := counted(t, s, id.ID())
	if len(got) != 21 || got["e0"] != 2 || got["e15"] != 1 || got[""] != 1 {
		t.Errorf("counted %v", got)
	}
	if got := lastUsed(t, s, id.ID()); !got.Equal(noon) {
		t.Errorf("last used %s", got)
	}
	if got := lastUsed(t, s, other.ID()); !got.IsZero() {
		t.Errorf("a key that was only refused was used at %s", got)
	}
	flush(t, r)
	r.Count(id, reads("e0"), noon)
	flush(t, r)
	if got := counted(t, s, id.ID())["e0"]; got != 3 {
		t.Errorf("after another flush: %d, want 3", got)
	}
}

func TestCountsBelongToTheirMinute(t *testing.T) {
	s := newStore(t)
	r := New(s)
	id := createKey(t, s)
	for i := range 4 {
		r.Count(id, reads(""), noon.Add(time.Duration(i)*31*time.Second))
		flush(t, r)
	}
	wantMinutes(t, s, id.ID(), keys.UsageBucket{At: noon, Allowed: 2}, keys.UsageBucket{At: noon.Add(time.Minute), Allowed: 2})
}

// wantMinutes expects what a key did in the minutes of the hour from noon.
func wantMinutes(t *testing.T, s keys.Store, id keys.ID, want ...keys.UsageBucket) {
	t.Helper()
	u, err := s.Usage(t.Context(), keys.UsageQuery{Key: id, Step: keys.Minute, From: noon, To: noon.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, u.Buckets); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNothingIsCountedWhereUsageIsOff(t *testing.T) {
	s := newStore(t)
	r := New(s)
	id := createKey(t, s)
	r.Configure(0)
	r.Count(id, reads(""), noon)
	flush(t, r)
	if got := counted(t, s, id.ID()); len(got) != 0 {
		t.Errorf("counted %v", got)
	}
	if got := lastUsed(t, s, id.ID()); !got.Equal(noon) {
		t.Errorf("last used %s", got)
	}
}

func TestWhatIsToldApartIsBoundedByKey(t *testing.T) {
	s := newStore(t)
	r := New(s)
	r.perKey = 20
	id, other := createKey(t, s), createKey(t, s)
	for i := range 100 {
		r.Count(id, reads(fmt.Sprintf("e%d", i)), noon)
	}
	r.Count(id, keys.What{API: "rest", Outcome: "no_such_api"}, noon) // what the configuration bounds is told apart
	r.Count(id, reads("e3"), noon)
	r.Count(other, reads("e99"), noon)
	flush(t, r)
	got := counted(t, s, id.ID())
	if len(got) != 22 || got["e3"] != 2 || got[keys.OtherEndpoints] != 80 || got[""] != 1 {
		t.Errorf("counted %v", got)
	}
	if got := counted(t, s, other.ID())["e99"]; got != 1 {
		t.Errorf("the other key: %d", got)
	}
	r.Count(id, reads("e99"), noon)
	flush(t, r)
	if got := counted(t, s, id.ID())["e99"]; got != 1 {
		t.Errorf("after a flush there is room again: %d", got)
	}
}

func TestWhatIsToldApartIsBoundedByNode(t *testing.T) {
	s := newStore(t)
	r := New(s)
	r.perNode = 30
	var ids []*keys.Identity
	for range 10 {
		id := createKey(t, s)
		ids = append(ids, id)
		for i := range 10 {
			r.Count(id, reads(fmt.Sprintf("e%d", i)), noon)
		}
	}
	if apart := r.apart.Load(); apart > 30+10 { // the others of each key
		t.Errorf("%d are told apart", apart)
	}
	flush(t, r)
	var total int64
	for _, id := range ids {
		for _, n := range counted(t, s, id.ID()) {
			total += n
		}
	}
	if total != 100 || r.apart.Load() > 30/2 {
		t.Errorf("%d of 100 were counted, %d are told apart after the flush", total, r.apart.Load())
	}
}

func TestEndpointsDoNotKeepThePathsTheyStoodIn(t *testing.T) {
	r := New(newStore(t))
	id := &keys.Identity{}
	path := strings.Repeat("x", 1<<20) + "end"
	r.Count(id, reads("first"), noon)
	for _, other := range []*keys.Identity{id, {}} { // in its tally, and with the key
		r.Count(other, reads(path[1<<20:]), noon)
	}
	for _, kept := range []string{id.Tally.Load().First[0].Load().Endpoint, r.things.what(2).Endpoint} {
		if kept != "end" || unsafe.StringData(kept) == unsafe.StringData(path[1<<20:]) {
			t.Errorf("%q keeps a megabyte", kept)
		}
	}
}

// Callers can choose endpoints. What comes when there are no more numbers is
// counted all the same, and what has one keeps it.
func TestThereAreMoreThingsThanNumbers(t *testing.T) {
	s := newStore(t)
	r := New(s)
	id := createKey(t, s)
	const more = int(keys.MaxThing) + 100
	for i := range more {
		again := keys.NewIdentity(keys.Digest{}, keys.Names{ID: id.ID()}, nil, 0)
		for range 2 {
			r.Count(again, reads(fmt.Sprint("e", i)), noon)
		}
		if here := again.Uses().N; here != 2 && i < int(keys.MaxThing) || here != 0 && i >= int(keys.MaxThing) {
			t.Fatalf("%d uses of thing %d are counted with the key", here, i)
		}
	}
	flush(t, r)
	got := counted(t, s, id.ID())
	for i := range more {
		if n := got[fmt.Sprint("e", i)]; n != 2 {
			t.Fatalf("thing %d was counted %d times, want 2", i, n)
		}
	}
}

// A key that is used all the time does more in a minute than it has room for.
func TestAKeyThatIsUsedMoreOftenThanItCanCount(t *testing.T) {
	s := newStore(t)
	r := New(s)
	id := createKey(t, s)
	for i := range 3000 {
		r.Count(id, reads("a"), noon.Add(time.Duration(i)*40*time.Millisecond)) // two minutes
	}
	flush(t, r)
	wantMinutes(t, s, id.ID(), keys.UsageBucket{At: noon, Allowed: 1500}, keys.UsageBucket{At: noon.Add(time.Minute), Allowed: 1500})
}

func TestABatchOfUnknownFateIsNotCountedTwice(t *testing.T) {
	s := &losing{Store: newStore(t)}
	r := New(s)
	id := createKey(t, s)
	lost := errors.New("connection reset")
	r.Count(id, reads("a"), noon)
	s.after = lost
	if err := r.Flush(t.Context()); !errors.Is(err, lost) {
		t.Fatalf("the fault is %v", err)
	}
	r.Count(id, reads("a"), noon) // does not get into the batch that is sent again
	if err := r.Flush(t.Context()); !errors.Is(err, lost) {
		t.Fatalf("the fault is %v", err)
	}
	s.after = nil
	flush(t, r)
	if got := counted(t, s, id.ID())["a"]; got != 2 {
		t.Errorf("counted %d, want 2", got)
	}
}

func TestWhileTheStoreIsDownCountsWaitWithinABound(t *testing.T) {
	s := &losing{Store: newStore(t), before: errors.New("down")}
	r := New(s)
	r.limits.waiting, r.limits.batch = 100, 10
	id := createKey(t, s)
	want := int64(0)
	for minute := range 300 { // five hours
		r.Count(id, reads("a"), noon.Add(time.Duration(minute)*time.Minute))
		want++
		if err := r.Flush(t.Context()); !errors.Is(err, s.before) {
			t.Fatalf("the fault is %v", err)
		}
	}
	if n := len(r.waiting.counts); n > 100 {
		t.Errorf("%d counts wait", n)
	}
	s.before = nil
	flush(t, r)
	if got := counted(t, s, id.ID())["a"]; got != want {
		t.Errorf("counted %d, want %d", got, want)
	}
	if s.calls < 300+6 {
		t.Errorf("%d batches", s.calls)
	}
}

func TestWhatThereIsNoRoomForIsToldOnce(t *testing.T) {
	s := &losing{Store: newStore(t), before: errors.New("down")}
	r := New(s)
	r.limits.waiting = 10
	id := createKey(t, s)
	for i := range 30 {
		r.Count(id, reads(fmt.Sprintf("e%d", i)), noon)
	}
	if err := r.Flush(t.Context()); err == nil {
		t.Fatal("no fault")
	}
	s.before = nil
	if err := r.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "20 requests were not counted") {
		t.Errorf("told %v", err)
	}
	flush(t, r)
	if got := counted(t, s, id.ID()); len(got) != 10 {
		t.Errorf("counted %v", got)
	}
}

// Whatever counts and flushes at once, in the end each request is counted once.
func TestCountingWhileFlushingLosesNothing(t *testing.T) {
	s := newStore(t)
	r := New(s)
	ids := []*keys.Identity{createKey(t, s), createKey(t, s), createKey(t, s)}
	again := keys.NewIdentity(keys.Digest{}, keys.Names{ID: ids[0].ID()}, nil, 0) // the cache has read the key anew
	const workers, each = 8, 2000
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := range each {
				id := ids[i%3]
				if i%7 == 0 && i%3 == 0 {
					id = again
				}
				r.Count(id, reads(fmt.Sprintf("e%d", i%20)), noon.Add(time.Duration(i)*time.Millisecond))
			}
		})
	}
	done := make(chan struct{})
	var flushers sync.WaitGroup
	for range 2 {
		flushers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if err := r.Flush(t.Context()); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	close(done)
	flushers.Wait()
	flush(t, r)
	var total int64
	for _, id := range ids {
		for _, n := range counted(t, s, id.ID()) {
			total += n
		}
	}
	if total != workers*each {
		t.Errorf("counted %d, want %d", total, workers*each)
	}
}

// Random counts, keys read anew and flushes, against a plain count.
func TestCountsAreWhatWasCounted(t *testing.T) {
	s := newStore(t)
	rapid.Check(t, func(rt *rapid.T) {
		r := New(s)
		id := createKey(t, s)
		current := id
		want := map[string]int64{}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"count", "count", "count", "flush", "read anew"}).Draw(rt, "step") {
			case "count":
				endpoint := fmt.Sprintf("e%d", rapid.IntRange(0, 14).Draw(rt, "endpoint"))
				r.Count(current, reads(endpoint), noon)
				want[endpoint]++
			case "flush":
				flush(t, r)
			case "read anew":
				current = keys.NewIdentity(keys.Digest{}, keys.Names{ID: id.ID()}, nil, 0)
			}
		}
		flush(t, r)
		if diff := cmp.Diff(want, counted(t, s, id.ID())); diff != "" {
			rt.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestARequestThatFoundATallyBeforeAFlushIsCountedAfterIt(t *testing.T) {
	s := newStore(t)
	r := New(s)
	id := createKey(t, s)
	for _, endpoint := range []string{"with the key", "a"} {
		r.Count(id, reads(endpoint), noon)
	}
	found := r.tallied(id, reads("a")) // and stops here
	for range 2 {                      // by the second, nothing was counted
		flush(t, r)
	}
	found.N.Add(1)
	flush(t, r)
	if got := counted(t, s, id.ID())["a"]; got != 2 {
		t.Errorf("counted %d, want 2", got)
	}
	if len(r.retired) != 1 {
		t.Errorf("%d tallies are looked at", len(r.retired))
	}
	r.collect(time.Now().Add(2 * retirement))
	if len(r.retired) != 0 {
		t.Errorf("%d tallies are kept for ever", len(r.retired))
	}
}

func TestATallyStaysWithItsKeyWhileAllOfItGoesOn(t *testing.T) {
	s := newStore(t)
	r := New(s)
	id := createKey(t, s)
	count := func(endpoints ...string) *keys.Tally {
		for _, endpoint := range endpoints {
			r.Count(id, reads(endpoint), noon)
		}
		return id.Tally.Load()
	}
	first := count("with the key", "a", "b")
	for range 3 {
		flush(t, r)
		if id.Tally.Load() != first {
			t.Error("it was taken away")
		}
		count("with the key", "b", "a")
	}
	flush(t, r)
	if count("with the key", "a"); id.Tally.Load() != first || r.apart.Load() != 2 {
		t.Errorf("%d things are told apart, want 2", r.apart.Load())
	}
	flush(t, r) // b was not counted
	if id.Tally.Load() != nil || r.apart.Load() != 0 || len(r.pending) != 0 {
		t.Errorf("it stays for ever: %d things are told apart, %d keys looked at", r.apart.Load(), len(r.pending))
	}
	if diff := cmp.Diff(map[string]int64{"with the key": 5, "a": 5, "b": 4}, counted(t, s, id.ID())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheMinuteOfAKeptTallyIsThatOfItsLastUse(t *testing.T) {
	s := newStore(t)
	r := New(s)
	id := createKey(t, s)
	for _, at := range []time.Duration{59_900 * time.Millisecond, 60_200 * time.Millisecond} { // within a second
		r.Count(id, reads("with the key"), noon.Add(at))
		r.Count(id, reads("a"), noon.Add(at))
		flush(t, r)
	}
	got, err := s.Usage(t.Context(), keys.UsageQuery{Key: id.ID(), From: noon, To: noon.Add(time.Hour), Step: keys.Minute})
	if err != nil || len(got.Buckets) != 2 {
		t.Errorf("counted in %v (%v), want two minutes", got, err)
	}
}

func TestPruningIsLeftAloneOnAnIdleNode(t *testing.T) {
	s := &losing{Store: newStore(t)}
	r := New(s)
	id := createKey(t, s)
	now := noon
	for _, c := range []struct {
		after  time.Duration
		counts bool
		want   int
	}{{0, false, 1}, {11 * time.Minute, false, 1}, {11 * time.Minute, true, 2}, {time.Minute, true, 2}, {10 * time.Minute, false, 3}, {10 * time.Minute, false, 3}, {time.Hour, false, 4}} {
		now = now.Add(c.after)
		if c.counts {
			r.Count(id, reads("a"), now)
			flush(t, r)
		}
		if err := r.prune(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		if s.pruned != c.want {
			t.Errorf("after %s: pruned %d times, want %d", c.after, s.pruned, c.want)
		}
	}
}

func TestStepsAreKeptNoLongerThanUsage(t *testing.T) {
	const day = 24 * time.Hour
	for keep, want := range map[time.Duration][3]time.Duration{
		90 * day: {2 * day, 14 * day, 90 * day}, 5 * day: {2 * day, 5 * day, 5 * day}, day: {day, day, day},
	} {
		got := Keeping(keep)
		if [3]time.Duration{got[keys.Minute], got[keys.Hour], got[keys.Day]} != want {
			t.Errorf("%s: %v", keep, got)
		}
	}
}

func TestFlushesBeginWithTheMinute(t *testing.T) {
	for at, want := range map[time.Duration]time.Duration{0: 10 * time.Second, time.Millisecond: 9999 * time.Millisecond, 59 * time.Second: time.Second} {
		if got := untilFlush(noon.Add(at)); got != want {
			t.Errorf("%s after the minute: %s, want %s", at, got, want)
		}
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	r := New(newStore(t))
	id := &keys.Identity{}
	whats := []keys.What{reads("users"), reads("orders"), {API: "rest", Outcome: "no_such_api"}}
	for i := range 20 {
		whats = append(whats, reads(fmt.Sprintf("e%d", i)))
	}
	for _, what := range whats {
		r.Count(id, what, noon)
	}
	i := 0
	if n := testing.AllocsPerRun(1000, func() { r.Count(id, whats[i%len(whats)], noon); i++ }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCount(b *testing.B) {
	whats := []keys.What{}
	for i := range 100 {
		whats = append(whats, reads(fmt.Sprintf("endpoint-%02d", i)))
	}
	for _, n := range []int{1, 8, 100} {
		b.Run(fmt.Sprintf("things=%d", n), func(b *testing.B) {
			r := New(newStore(b))
			id := &keys.Identity{}
			now := time.Now()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				r.Count(id, whats[i%n], now)
				i++
			}
		})
	}
	b.Run("one key, many requests at once", func(b *testing.B) {
		r := New(newStore(b))
		id := &keys.Identity{}
		now := time.Now()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				r.Count(id, whats[0], now)
			}
		})
	})
}

// BenchmarkMinute is what keys that are used all the time cost in a minute, each
// with two things that it does: six flushes.
func BenchmarkMinute(b *testing.B) {
	for _, n := range []int{500, 10_000, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			s := newStore(b)
			r := New(s)
			ids := createKeys(b, s, n)
			endpoints := make([]string, 50)
			for i := range endpoints {
				endpoints[i] = fmt.Sprint("e", i)
			}
			var took time.Duration
			at := noon
			for b.Loop() {
				for range time.Minute / FlushInterval {
					b.StopTimer()
					at = at.Add(FlushInterval)
					for i, id := range ids {
						r.Count(id, reads(endpoints[i%len(endpoints)]), at)
						r.Count(id, keys.What{API: "graphql", Access: permission.Write, Outcome: "insufficient_access"}, at)
					}
					before := cpu(b)
					b.StartTimer()
					if err := r.flush(b.Context(), at, false); err != nil {
						b.Fatal(err)
					}
					took += cpu(b) - before
				}
			}
			b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "cpu-ms/op")
		})
	}
}

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func createKeys(b *testing.B, s keys.Store, n int) (ids []*keys.Identity) {
	some := make([]keys.New, n)
	for i := range some {
		secret, err := keys.NewSecret("kw", nil)
		if err != nil {
			b.Fatal(err)
		}
		key := keys.Key{ID: keys.NewID(), Name: "n", Owner: fmt.Sprint(i % 100), Enabled: true, CreatedAt: noon, UpdatedAt: noon}
		some[i] = keys.New{Key: key, Digest: secret.Digest()}
		ids = append(ids, keys.NewIdentity(keys.Digest{}, keys.Names{ID: key.ID}, nil, 0))
	}
	for batch := range slices.Chunk(some, 10_000) {
		if err := s.Create(b.Context(), keys.By{At: noon}, "import", batch); err != nil {
			b.Fatal(err)
		}
	}
	return ids
}
