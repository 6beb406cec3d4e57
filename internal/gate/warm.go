package gate

import (
	"context"
	"fmt"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// warmStep is how many keys are put into the cache before it is waited for:
// ristretto drops what it is given faster than it works off.
const warmStep = 100

// Warm reads up to most keys into the cache, those first that were used last,
// so that their first requests here find them. It is one query, beside those
// of requests; what changes meanwhile is left out, and a key that a request
// has found already stays as it is. It returns how many were read.
func (l *Lookup) Warm(ctx context.Context, most int) (int, error) {
	if most <= 0 {
		return 0, nil
	}
	tickets, began, read := l.cache.Tickets(), time.Since(l.start), 0
	reading := newGentle()
	err := l.store.Recent(ctx, most, func(id *keys.Identity) bool {
		if read == most { // a key in its grace has two secrets
			return false
		}
		if _, ok := l.cache.Get(&id.Digest); !ok {
			l.cache.Fill(tickets.Of(&id.Digest), id, began)
		}
		if read++; read%warmStep == 0 {
			l.cache.Wait()
		}
		reading.rest(ctx)
		return ctx.Err() == nil
	})
	l.cache.Wait()
	if err != nil {
		return read, fmt.Errorf("warming the cache: %w", err)
	}
	return read, ctx.Err()
}
