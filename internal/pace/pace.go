// Package pace sets how often the garbage collector runs, by room in memory
// instead of by a percentage. Go's default collects when the heap has doubled:
// a gateway with few keys has a heap of 5 MB, makes 16 KB of garbage a request
// and so collects hundreds of times a second; one with a million cached keys
// takes twice the memory that its keys need. With room that does not depend on
// the heap, the first collects rarely and the second stays small, until under
// requests its collections take too much of the processors' time.
package pace

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// The room that garbage may take before the next collection: a share of the
// memory limit (GOMEMLIMIT, which Caddy sets to nine tenths of the machine's
// or the container's memory), within bounds. Below the least there is little to
// win, and beyond the most as well (measured by `make compare`).
const (
	share = 256
	least = 32 << 20
	most  = 128 << 20
)

// A percentage below this would have the collector run all the time with a
// heap of gigabytes; above this the runtime's own least heap counts.
const (
	leastPercent = 10
	mostPercent  = 10_000
)

// busiest is the share of the processors' time that collections may take before
// they get more room, and with it more rest: with a million cached keys under
// requests they took half of it.
const busiest = 0.05

// Keep keeps the pace from now on, for the life of the process. An operator
// who has set GOGC has decided, and nothing is done.
func Keep() {
	if os.Getenv("GOGC") != "" {
		return
	}
	k := &keeper{at: time.Now()}
	k.adjust()
	afterEachCollection(k.adjust)
}

// keeper remembers the last collection.
type keeper struct {
	mu    sync.Mutex // a cleanup may still run when that of the next collection begins
	at    time.Time
	spent float64 // seconds that collections have taken until then
	room  uint64
}

func (k *keeper) adjust() {
	k.mu.Lock()
	defer k.mu.Unlock()
	live, spent := measure()
	now := time.Now()
	share := (spent - k.spent) / (max(now.Sub(k.at), time.Millisecond).Seconds() * float64(runtime.GOMAXPROCS(0)))
	k.at, k.spent = now, spent
	limit := debug.SetMemoryLimit(-1)
	k.room = roomFor(k.room, room(limit), live, share)
	debug.SetGCPercent(percent(live, k.room))
}

// roomFor returns how much room there is until the next collection. usual is
// enough as long as collections take no more than their share: else it grows in
// proportion, up to what is in use, and goes back by halves.
func roomFor(before, usual, live uint64, share float64) uint64 {
	wanted := max(float64(before)*share/busiest, float64(before)/2)
	return max(usual, uint64(min(wanted, float64(live))))
}

// afterEachCollection calls f once a collection has ended: then, an object
// that nothing points to is cleaned up.
func afterEachCollection(f func()) {
	type sentinel struct{ _ [16]byte } // big enough not to share its block with others
	runtime.AddCleanup(new(sentinel), func(struct{}) {
		afterEachCollection(f) // first, so that the next collection is not missed
		f()
	}, struct{}{})
}

// measure returns how many bytes the last collection found in use, and how many
// seconds collections have taken so far, without what was idle besides.
func measure() (live uint64, spent float64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/idle:cpu-seconds"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Float64() - samples[2].Value.Float64()
}

// percent is the GOGC that gives a heap with so many live bytes room.
func percent(live, room uint64) int {
	p := room * 100 / max(live, 1)
	return int(min(max(p, leastPercent), mostPercent)) // at most mostPercent
}

// room is how many bytes of garbage may usually gather under a memory limit.
func room(limit int64) uint64 {
	if limit <= 0 || limit == math.MaxInt64 {
		return least
	}
	return min(max(uint64(limit)/share, least), most)
}
