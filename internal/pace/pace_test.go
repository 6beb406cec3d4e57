package pace

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

const mib = 1 << 20

func TestRoomFollowsMemoryWithinBounds(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit int64
		want  uint64
	}{
		{"unknown", math.MaxInt64, 32 * mib},
		{"none", 0, 32 * mib},
		{"256 MiB", 256 * mib, 32 * mib},
		{"16 GiB", 16 << 30, 64 * mib},
		{"1 TiB", 1 << 40, 128 * mib},
	} {
		if got := room(c.limit); got != c.want {
			t.Errorf("%s: %d MiB, want %d", c.name, got/mib, c.want/mib)
		}
	}
}

func TestTheHeapHasThatRoomWhateverItsSize(t *testing.T) {
	for _, c := range []struct {
		name string
		live uint64
		want int
	}{
		{"nothing yet", 0, 10_000},
		{"few keys", 4 * mib, 1600},
		{"a hundred thousand keys", 64 * mib, 100},
		{"a million keys", 400 * mib, 16},
		{"a hundred million keys", 40 << 30, 10},
	} {
		if got := percent(c.live, 64*mib); got != c.want {
			t.Errorf("%s: GOGC %d, want %d", c.name, got, c.want)
		}
	}
}

func TestThereIsMoreRoomWhereCollectionsTakeTooMuchTime(t *testing.T) {
	const usual = 64 * mib
	for _, c := range []struct {
		name         string
		before, live uint64
		share        float64
		want         uint64
	}{
		{"at first", 0, 0, 0, usual},
		{"few keys, many requests", usual, 8 * mib, 0.04, usual},
		{"few keys, too many requests", usual, 8 * mib, 0.2, usual},
		{"many keys, few requests", usual, 280 * mib, 0.02, usual},
		{"many keys, more requests", usual, 280 * mib, 0.1, 128 * mib},
		{"many keys, many requests", usual, 280 * mib, 0.5, 280 * mib},
		{"it goes on so", 280 * mib, 280 * mib, 0.05, 280 * mib},
		{"fewer requests again", 280 * mib, 280 * mib, 0.04, 224 * mib},
		{"none any more", 280 * mib, 280 * mib, 0.0001, 140 * mib},
		{"for long", 100 * mib, 280 * mib, 0, usual},
		{"keys are gone", 280 * mib, 100 * mib, 0.05, 100 * mib},
	} {
		if got := roomFor(c.before, usual, c.live, c.share); got/mib != c.want/mib {
			t.Errorf("%s: %d MiB, want %d", c.name, got/mib, c.want/mib)
		}
	}
}

func first(live uint64, _ float64) uint64 { return live }

// settings puts back what Keep has changed.
func settings(t *testing.T) {
	t.Helper()
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
}

func TestWhatTheOperatorHasSetStays(t *testing.T) {
	settings(t)
	t.Setenv("GOGC", "73")
	debug.SetGCPercent(73)
	Keep()
	if got := debug.SetGCPercent(73); got != 73 {
		t.Errorf("GOGC is %d, want the operator's 73", got)
	}
}

func TestThePaceFollowsTheHeapAfterEachCollection(t *testing.T) {
	settings(t)
	t.Setenv("GOGC", "")
	calls := make(chan uint64, 100)
	afterEachCollection(func() {
		select {
		case calls <- first(measure()):
		default: // the test has seen enough
		}
	})
	kept := make([]byte, 64*mib)
	deadline := time.Now().Add(30 * time.Second)
	for seen := 0; seen < 3; {
		runtime.GC()
		select {
		case heap := <-calls:
			seen++
			if heap < uint64(len(kept)) {
				t.Errorf("%d bytes live, with %d in use", heap, len(kept))
			}
		case <-time.After(100 * time.Millisecond): // cleanups run when there is time for them
			if time.Now().After(deadline) {
				t.Fatalf("called %d times in 30 s of collections, want 3", seen)
			}
		}
	}
	runtime.KeepAlive(kept)
}
