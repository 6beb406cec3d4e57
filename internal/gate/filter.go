package gate

import (
	"sync"

	"github.com/bits-and-blooms/bloom/v3"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// filter is a Bloom filter of the digests in the store (Bloom 1970: "space/
// time trade-offs in hash coding with allowable errors"). It may take an
// unknown digest for a known one, never the other way round. Deleted digests
// stay in it until it is filled anew; that costs look-ups, not safety.
type filter struct {
	mu    sync.RWMutex
	bloom *bloom.BloomFilter // nil: not filled yet
	room  int                // how many more digests it is made for
	// late are digests that were added while a filling was under way.
	late    []keys.Digest
	filling bool
	// again says that what is being filled is out of date already.
	again bool
	wake  chan struct{}
}

const (
	minFilter = 100_000
	// What the filter takes for known by mistake is looked up: of a flood of
	// 20 000 a second, two. It takes 20 bits a key, twice what 1 % would.
	falsePositive = 0.0001
)

// mayHold reports whether d may be known; true as long as nobody can tell.
// What was committed on another node, and not heard of yet, it does not know.
func (f *filter) mayHold(d *keys.Digest) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.bloom == nil || f.bloom.Test(d[:])
}

// add takes digests up.
func (f *filter) add(digests []keys.Digest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.filling {
		f.late = append(f.late, digests...)
	}
	if f.bloom == nil {
		return
	}
	for i := range digests {
		f.bloom.Add(digests[i][:])
	}
	f.room -= len(digests)
	if f.room < 0 {
		f.signal()
	}
}

// invalidate forgets the filter, when changes may have been missed.
func (f *filter) invalidate() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bloom = nil
	f.again = f.filling
	f.signal()
}

// outgrown is signalled when the filter should be filled anew.
func (f *filter) outgrown() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.signalChannel()
}

func (f *filter) signalChannel() chan struct{} {
	if f.wake == nil {
		f.wake = make(chan struct{}, 1)
	}
	return f.wake
}

func (f *filter) signal() {
	select {
	case f.signalChannel() <- struct{}{}:
	default: // somebody has been told already
	}
}

// fill makes a filter of all digests that each yields, with room for as many
// again. The one before serves until it is done.
func (f *filter) fill(count uint, each func(yield func(keys.Digest) bool) error) error {
	size := max(minFilter, 2*count)
	f.mu.Lock()
	f.filling, f.again, f.late = true, false, nil
	f.mu.Unlock()

	made := bloom.NewWithEstimates(size, falsePositive)
	held := 0
	err := each(func(d keys.Digest) bool {
		made.Add(d[:])
		held++
		return true
	})

	f.mu.Lock()
	defer f.mu.Unlock()
	f.filling = false
	late := f.late
	f.late = nil
	if err != nil || f.again {
		return err
	}
	for i := range late {
		made.Add(late[i][:])
	}
	f.bloom, f.room = made, int(size)-held-len(late)
	return nil
}
