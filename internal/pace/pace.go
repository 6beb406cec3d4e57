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

// A percentage below the least would have the collector run all the time with a
// heap of gigabytes; the most is that of the most room in the least heap, of
// which the runtime takes a percentage where less is in use.
const (
	leastPercent = 10
	mostPercent  = most * 100 / leastHeap
	leastHeap    = 4 << 20
)

// busiest is the share of the processors' time that collections may take before
// they get more room, and with it more rest: with a million cached keys under
// requests they took half of it.
const busiest = 0.05

// every is how often to look whether a collection has ended. What a collection
// cleans up would tell of it too, but only when all of the heap has been swept,
// which on busy processors may be when the next one begins; until then the heap
// grows as was right for the heap before. Where that was small and requests come
// in all at once, it grows a hundredfold.
const every = 100 * time.Millisecond

// Keep keeps the pace from now on, for the life of the process. An operator
// who has set GOGC has decided, and nothing is done.
func Keep() {
	if os.Getenv("GOGC") != "" {
		return
	}
	k := &keeper{at: time.Now()}
	k.adjust(measure())
	go k.follow(time.Tick(every))
}

// keeper remembers the last collection.
type keeper struct {
	at    time.Time
	ended uint64 // collections
	spent float64
	room  uint64
}

// follow adjusts the pace at those ticks before which a collection has ended.
func (k *keeper) follow(ticks <-chan time.Time) {
	for range ticks {
		if m := measure(); m.ended != k.ended {
			k.adjust(m)
		}
	}
}

func (k *keeper) adjust(m measured) {
	now := time.Now()
	share := (m.spent - k.spent) / (max(now.Sub(k.at), time.Millisecond).Seconds() * float64(runtime.GOMAXPROCS(0)))
	k.at, k.ended, k.spent = now, m.ended, m.spent
	k.room = roomFor(k.room, room(debug.SetMemoryLimit(-1)), m.live, share)
	debug.SetGCPercent(percent(m.live+m.roots, k.room))
}

// roomFor returns how much room there is until the next collection. usual is
// enough as long as collections take no more than their share: else it grows in
// proportion, up to what is in use, and goes back by halves.
func roomFor(before, usual, live uint64, share float64) uint64 {
	wanted := max(float64(before)*share/busiest, float64(before)/2)
	return max(usual, uint64(min(wanted, float64(live))))
}

// measured is what the last collection tells.
type measured struct {
	ended uint64  // how many there were
	spent float64 // seconds that all of them took, without what was idle besides
	live  uint64  // bytes of the heap that it found in use
	roots uint64  // bytes of stacks and globals that it looked through
}

func measure() measured {
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/scan/stack:bytes"},
		{Name: "/gc/scan/globals:bytes"},
	}
	metrics.Read(samples)
	return measured{
		ended: samples[0].Value.Uint64(),
		spent: samples[1].Value.Float64() - samples[2].Value.Float64(),
		live:  samples[3].Value.Uint64(),
		roots: samples[4].Value.Uint64() + samples[5].Value.Uint64(),
	}
}

// percent is the GOGC that gives a heap room: a percentage of what is live in it
// and of the roots (https://go.dev/doc/gc-guide#GOGC).
func percent(scanned, room uint64) int {
	p := room * 100 / max(scanned, leastHeap)
	return int(min(max(p, leastPercent), mostPercent))
}

// room is how many bytes of garbage may usually gather under a memory limit.
func room(limit int64) uint64 {
	if limit <= 0 || limit == math.MaxInt64 {
		return least
	}
	return min(max(uint64(limit)/share, least), most)
}
