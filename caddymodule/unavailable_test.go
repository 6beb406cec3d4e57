package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// checkUnavailable checks that h refuses everything with 503.
func checkUnavailable(t *testing.T, h caddyhttp.MiddlewareHandler) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/rest/a", nil)
	r.Header.Set("X-Auth-Key-Id", "forged")
	next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		t.Error("the request went on")
		return nil
	})
	if err := h.ServeHTTP(w, r, next); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("answered with %d, %v", w.Code, w.Header())
	}
}
