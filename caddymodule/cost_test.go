package caddymodule

import (
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-keywarden/keywarden/internal/cost"
)

// BenchmarkCost is compared with bench/baseline.txt: a request through the
// handler, and the same request without it. What is between is judged.
func BenchmarkCost(b *testing.B) {
	h, secret := benchHandler(b)
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
	w := discard{http.Header{}}
	serve := func() {
		if err := h.ServeHTTP(w, caddyRequest(secret), next); err != nil {
			b.Fatal(err)
		}
	}
	serve() // from now on the key is cached
	// What the engine does besides would be counted, too.
	e := h.app.running.Load()
	e.stop()
	e.workers.Wait()

	cost.Run(b, "bare", func() {
		if err := next.ServeHTTP(w, caddyRequest(secret)); err != nil {
			b.Fatal(err)
		}
	})
	cost.Run(b, "handler", serve)
	h.logs = true
	cost.Run(b, "handler-logged", serve)
}
