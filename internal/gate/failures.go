package gate

import (
	"net/netip"
	"sync"
	"time"
)

// maxFailing bounds how many sources a FailLimit remembers: 6 MB at most. A
// flood from more than that makes room for itself, and loses what it spent:
// the limit slows guessing down, and no more depends on it.
const maxFailing = 65_536

// FailLimit counts failed attempts by where they come from: an IPv4 address,
// or the /64 of an IPv6 address, which is what one subscriber has. Clients
// without an address share one count.
//
// It is a leaky bucket by its theoretical arrival time (GCRA, ITU-T I.371):
// one number a source, and nothing that has to run.
type FailLimit struct {
	each  time.Duration // a failure costs
	burst time.Duration // may be spent ahead of time

	mu    sync.Mutex
	spent map[netip.Prefix]time.Time // until when a source has used up its failures
}

// NewFailLimit allows so many failures in a time, all of them at once or
// spread over it.
func NewFailLimit(failures int, in time.Duration) *FailLimit {
	each := in / time.Duration(failures)
	return &FailLimit{each: each, burst: each * time.Duration(failures), spent: map[netip.Prefix]time.Time{}}
}

// Fail counts a failure from an address at now. It returns 0 as long as the
// source is within its limit, and else how long until it is again; what comes
// in that time is not counted, or a client that goes on trying would never be
// told anything else.
func (l *FailLimit) Fail(address string, now time.Time) time.Duration {
	source := sourceOf(address)
	l.mu.Lock()
	defer l.mu.Unlock()
	until := l.spent[source]
	if until.Before(now) {
		until = now
	}
	until = until.Add(l.each)
	if over := until.Sub(now) - l.burst; over > 0 {
		return over
	}
	l.makeRoom(now)
	l.spent[source] = until
	return 0
}

// Forgive takes back a failure that was counted ahead of time, and was none.
func (l *FailLimit) Forgive(address string) {
	source := sourceOf(address)
	l.mu.Lock()
	defer l.mu.Unlock()
	if until, counted := l.spent[source]; counted {
		l.spent[source] = until.Add(-l.each)
	}
}

// makeRoom forgets, when there are too many, who has not failed lately, and
// if all have, some of them.
func (l *FailLimit) makeRoom(now time.Time) {
	if len(l.spent) < maxFailing {
		return
	}
	for source, until := range l.spent {
		if until.Before(now) {
			delete(l.spent, source)
		}
	}
	for source := range l.spent {
		if len(l.spent) < maxFailing-maxFailing/8 { // so that not every failure looks through all
			return
		}
		delete(l.spent, source)
	}
}

// sourceOf returns who is counted as one; the zero Prefix for what is no
// address.
func sourceOf(address string) netip.Prefix {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.WithZone("").Unmap()
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	source, err := addr.Prefix(bits)
	if err != nil { // both lengths are possible
		return netip.Prefix{}
	}
	return source
}
