// Package pace sets how often the garbage collector runs, by room in memory
// instead of by a percentage. Go's default collects when the heap has doubled:
// a gateway with few keys has a heap of 5 MB, makes 16 KB of garbage a request
// and so collects hundreds of times a second; one with a million cached keys
// takes twice the memory that its keys need. With room that does not depend on
// the heap, the first collects rarely and the second stays small.
package pace

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
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

// Keep keeps the pace from now on, for the life of the process. An operator
// who has set GOGC has decided, and nothing is done.
func Keep() {
	if os.Getenv("GOGC") != "" {
		return
	}
	adjust()
	afterEachCollection(adjust)
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

func adjust() {
	debug.SetGCPercent(percent(live(), debug.SetMemoryLimit(-1)))
}

// live is how many bytes the last collection found in use.
func live() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// percent is the GOGC that gives a heap with so many live bytes its room.
func percent(live uint64, limit int64) int {
	p := room(limit) * 100 / max(live, 1)
	return int(min(max(p, leastPercent), mostPercent)) // at most mostPercent
}

// room is how many bytes of garbage may gather under a memory limit.
func room(limit int64) uint64 {
	if limit <= 0 || limit == math.MaxInt64 {
		return least
	}
	return min(max(uint64(limit)/share, least), most)
}
