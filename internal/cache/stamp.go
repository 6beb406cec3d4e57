package cache

import "time"

// A stamp says when the store was asked for a key last, in milliseconds of the
// cache's clock, and of which generation the answer is, in one number that a
// cached key has room for. A process would have to run for 34 years, or forget
// everything 16 million times before one of its entries is too old, until two
// stamps could be taken for each other.
const (
	generationBits = 24
	generationMask = 1<<generationBits - 1
)

func stamp(at time.Duration, generation uint32) uint64 {
	ms := max(0, at) / time.Millisecond // rounded down, which makes no entry fresher
	return uint64(ms)<<generationBits | uint64(generation&generationMask)
}

func stampedAt(s uint64) time.Duration { return time.Duration(s>>generationBits) * time.Millisecond }

func sameGeneration(s uint64, generation uint32) bool {
	return uint32(s&generationMask) == generation&generationMask
}
