package caddymodule

import (
	"context"
	"runtime/debug"
	"time"

	"go.uber.org/zap"
)

// warmAgain is how long a fill that failed is waited for to be tried again.
const warmAgain = 5 * time.Second

// warm fills the cache beside the requests, once: with the feed connected, or
// its first step would throw away what was read.
func (e *engine) warm(ctx context.Context, most int) {
	if most == 0 {
		return
	}
	began := time.Now()
	for pause := 10 * time.Millisecond; !e.feed.Connected(); pause = min(2*pause, time.Second) {
		if !sleep(ctx, pause) {
			return
		}
	}
	for {
		read, err := e.lookup.Warm(ctx, most)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			// Reading leaves behind as much as it keeps. It goes back at once,
			// since nothing like it will be allocated again.
			debug.FreeOSMemory()
			e.log.Load().Info("the cache is warm", zap.Int("keys", read), zap.Duration("took", time.Since(began)))
			return
		}
		e.fault("filling the cache")(err)
		if !sleep(ctx, warmAgain) {
			return
		}
	}
}

// sleep reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
