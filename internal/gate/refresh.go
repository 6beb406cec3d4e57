package gate

import (
	"context"
	"sync"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/cache"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const (
	// refreshMany keys in use are looked up again by one query, which takes 0.6 ms
	// with Postgres where as many queries take 7, and 0.9 instead of 1.8 with
	// SQLite. More take the processor for longer than a request should wait.
	refreshMany = 100
	// refreshWait is how long a query waits for that many; less of a short ttl.
	refreshWait = 20 * time.Millisecond
)

// refreshes are keys in use that are about to be looked up again.
type refreshes struct {
	mu      sync.Mutex
	waiting []cache.Entry
	running bool
}

// add reports true where the caller has to see to it that all are looked up.
func (r *refreshes) add(e cache.Entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, e)
	start := !r.running
	r.running = true
	return start
}

// many reports whether there are as many as one query is good for.
func (r *refreshes) many() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting) >= refreshMany
}

// take returns those of the next query; if there are none, whoever comes next
// has to start again.
func (r *refreshes) take() []cache.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	some := r.waiting[:min(len(r.waiting), refreshMany)]
	r.waiting = r.waiting[len(some):]
	if len(some) == 0 {
		r.waiting, r.running = nil, false
	}
	return some
}

// refresh looks a secret up again beside the requests.
func (l *Lookup) refresh(e cache.Entry) {
	if l.again.add(e) {
		l.flights.Go(l.refreshAll)
	}
}

func (l *Lookup) refreshAll() {
	for {
		if !l.again.many() {
			time.Sleep(min(refreshWait, l.options.Load().TTL/50))
		}
		some := l.again.take()
		if len(some) == 0 {
			return
		}
		if err := l.refreshSome(some); err != nil { // Observe has heard of it
			for _, e := range some {
				e.EndRefresh() // the next request tries again; the breaker keeps that cheap
			}
		}
	}
}

// refreshSome looks secrets up by one query. What changes in the meantime is
// not remembered, as in ask.
func (l *Lookup) refreshSome(some []cache.Entry) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	digests := make([]keys.Digest, len(some))
	tickets := make([]cache.Ticket, len(some))
	for i, e := range some {
		digests[i] = e.Identity.Digest
		tickets[i] = l.cache.Ticket(&digests[i])
	}
	began := time.Since(l.start)
	found := make(map[keys.Digest]*keys.Identity, len(some))
	err := l.query(ctx, func(ctx context.Context) error {
		all, err := l.store.FindMany(ctx, digests)
		for _, id := range all {
			found[id.Digest] = id
		}
		return err
	})
	if err != nil {
		return err
	}
	for i, e := range some {
		if !l.cache.Put(tickets[i], found[digests[i]], began) {
			e.EndRefresh() // another secret of its stripe may be the one that changed
		}
	}
	return nil
}
