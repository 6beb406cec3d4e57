package route

import (
	"net/http"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/cost"
)

// BenchmarkCost is compared with bench/baseline.txt: finding what a path
// belongs to among 200 patterns.
func BenchmarkCost(b *testing.B) {
	table := mustCompile(b, manyPatterns(200))
	for name, path := range map[string]string{"captured": "/v1/abc123/run/now", "literal": "/v1/users/7"} {
		cost.Run(b, name, func() {
			if _, ok := table.Match(http.MethodGet, path, NoUpgrade); !ok {
				b.Fatal("no match")
			}
		})
	}
}
