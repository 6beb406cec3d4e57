package pace

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
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
		{"nothing yet", 0, 1600},
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
	ticks := make(chan time.Time)
	defer close(ticks)
	k := new(keeper)
	go k.follow(ticks)
	tick := func() {
		for range 2 { // the second one is taken when the first has been followed
			ticks <- time.Now()
		}
	}
	leave := stacks(64) // as requests have them
	defer leave()
	for _, size := range []int{1 * mib, 96 * mib, 16 * mib} {
		kept := make([]byte, size)
		runtime.GC()
		tick()
		m, goal := measure(), heapGoal()
		if m.live < uint64(size) {
			t.Errorf("%d bytes live, with %d in use", m.live, size)
		}
		if least, most := m.live+k.room*9/10, m.live+k.room*11/10; goal < least || goal > most {
			t.Errorf("with %d MiB in use the next collection is at %d MiB, want one at %d", m.live/mib, goal/mib, (m.live+k.room)/mib)
		}
		debug.SetGCPercent(73) // which is seen only if the next tick changes it
		tick()
		if got := debug.SetGCPercent(73); got != 73 {
			t.Errorf("GOGC is %d, though no collection has ended", got)
		}
		runtime.KeepAlive(kept)
	}
}

// stacks returns when there are goroutines with stacks of that many MiB, which
// they keep until they are told to leave.
func stacks(size int) (leave func()) {
	begun, end := make(chan bool), make(chan struct{})
	for range size {
		go deep(mib, func() {
			begun <- true
			<-end
		})
		<-begun
	}
	return func() { close(end) }
}

// deep calls f with so many bytes of stack in use.
func deep(bytes int, f func()) byte {
	var frame [1024]byte
	if bytes <= len(frame) {
		f()
		return 0
	}
	frame[bytes%len(frame)] = deep(bytes-len(frame), f)
	return frame[len(frame)-1]
}

func heapGoal() uint64 {
	goal := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(goal)
	return goal[0].Value.Uint64()
}
