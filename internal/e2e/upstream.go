package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Upstream is an API that records what reaches it and answers 200.
type Upstream struct {
	Address string

	mu       sync.Mutex
	requests []Recorded
}

// Recorded is a request as the upstream received it.
type Recorded struct {
	Method, Target string
	Header         http.Header
	Trailer        http.Header
	Body           []byte
}

// NewUpstream starts an upstream that ends with the test.
func NewUpstream(t testing.TB) *Upstream {
	t.Helper()
	u := &Upstream{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		u.requests = append(u.requests, Recorded{r.Method, r.RequestURI, r.Header.Clone(), r.Trailer.Clone(), body})
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "upstream\n")
	}))
	t.Cleanup(server.Close)
	u.Address = server.Listener.Addr().String()
	return u
}

// Count returns how many requests arrived.
func (u *Upstream) Count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.requests)
}

// Last returns the request that arrived last.
func (u *Upstream) Last(t testing.TB) Recorded {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.requests) == 0 {
		t.Fatal("nothing reached the upstream")
	}
	return u.requests[len(u.requests)-1]
}
