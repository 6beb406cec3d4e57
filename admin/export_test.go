package admin

import (
	"net/http"
	"strings"
)

// Routes returns what a handler of New serves: methods by path.
func Routes(h http.Handler) map[string][]string {
	out := map[string][]string{}
	for _, r := range h.(*api).routes {
		out["/"+strings.Join(r.segments, "/")] = r.allow
	}
	return out
}

// OpenSessions returns how many sessions are kept.
func OpenSessions(s *Sessions) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}
