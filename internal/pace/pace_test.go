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
		if got := percent(c.live, 16<<30); got != c.want {
			t.Errorf("%s: GOGC %d, want %d", c.name, got, c.want)
		}
	}
}

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
		case calls <- live():
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
