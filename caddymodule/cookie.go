package caddymodule

import (
	"net/http"
	"strings"

	"github.com/caddy-keywarden/keywarden/admin"
)

// dropSession removes the cookie of the console's sessions. Browsers send it
// to every port of the console's host, and an upstream there could use it to
// manage keys. values are those of the header; requests without the cookie cost
// a search in them, and no allocation.
func dropSession(h http.Header, values []string) {
	for _, value := range values {
		if strings.Contains(value, admin.SessionCookie) {
			keepOthers(h, values)
			return
		}
	}
}

// keepOthers leaves the other cookies as they were written. A copy of the
// header may share its values, so they are not changed in place.
func keepOthers(h http.Header, values []string) {
	var kept []string
	for _, value := range values {
		var rest []string
		for pair := range strings.SplitSeq(value, ";") {
			name, _, _ := strings.Cut(pair, "=")
			if strings.TrimSpace(name) != admin.SessionCookie {
				rest = append(rest, strings.TrimSpace(pair))
			}
		}
		if len(rest) > 0 {
			kept = append(kept, strings.Join(rest, "; "))
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}
