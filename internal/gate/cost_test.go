package gate

import (
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/cost"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// BenchmarkCost is compared with bench/baseline.txt: a decision on a cached
// key, on a secret that is remembered as unknown, and on one that is none.
func BenchmarkCost(b *testing.B) {
	bench := newBench(b, testOptions)
	g := bench.gate(b, twoHundredPatterns(), DefaultCredentials())
	secret, err := keys.NewSecret("kw", rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	known := bench.remembered(b, 1)[0]
	unknown, malformed := known.Clone(b.Context()), known.Clone(b.Context())
	unknown.Header.Set("Authorization", "Bearer "+secret.Reveal())
	malformed.Header.Set("Authorization", "Bearer kw_0123456789abcdefghijABCDEFGHIJ01000000")
	now := time.Now() // always the same: nothing becomes too old
	g.Decide(unknown, now)
	bench.lookup.cache.Wait()
	for _, c := range []struct {
		name    string
		request *http.Request
		want    Outcome
		found   Found
	}{
		{"allowed", known, Allowed, Hit},
		{"unknown", unknown, UnknownKey, Unknown},
		{"checksum", malformed, UnknownKey, Miss},
	} {
		cost.Run(b, c.name, func() {
			if d := g.Decide(c.request, now); d.Outcome != c.want || d.Found != c.found {
				b.Fatal(d.Outcome, d.Found)
			}
		})
	}
}
