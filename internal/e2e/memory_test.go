package e2e

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkMemoryOfAMillionCachedKeys measures what the whole process takes
// with a million keys in its cache, half of them restricted to some APIs: with
// all the machine's memory, and with a limit.
func BenchmarkMemoryOfAMillionCachedKeys(b *testing.B) {
	size, dir := millionOrFewer(), b.TempDir()
	g := Start(b, Options{Config: caddyfile, Dir: dir})
	began := time.Now()
	importMany(b, g, size)
	imported := time.Since(began)
	g.Stop()

	room := fmt.Sprintf("\n\t\tcache {\n\t\t\tmax_keys %d\n\t\t\twarm %[1]d\n\t\t}", size)
	o := Options{Config: strings.Replace(caddyfile, "store sqlite ./data/keys.db", "store sqlite ./data/keys.db"+room, 1), Dir: dir}
	for _, limit := range []string{"", "GOMEMLIMIT=330MiB"} {
		b.Run(cmp.Or(limit, "unbounded"), func(b *testing.B) {
			if limit != "" {
				o.Env = []string{limit}
			}
			for b.Loop() {
				measureWarm(b, o, size)
			}
		})
	}
	b.Logf("importing took %s", imported)
}

// millionOrFewer is how many keys a benchmark has: for a quick look
// KEYWARDEN_BENCH_KEYS says another number.
func millionOrFewer() int {
	if n, err := strconv.Atoi(os.Getenv("KEYWARDEN_BENCH_KEYS")); err == nil {
		return n
	}
	return 1_000_000
}

func importMany(b *testing.B, g *Gateway, size int) {
	b.Helper()
	const some = 10_000
	for first := 0; first < size; first += some {
		answer := g.Admin("POST", "/v1/keys/import", map[string]any{"keys": importable(first, min(some, size-first))})
		Expect(b, answer, http.StatusCreated, "")
	}
}

// measureWarm starts a gateway and measures it until its cache is warm.
func measureWarm(b *testing.B, o Options, size int) {
	b.Helper()
	began := time.Now()
	g := Start(b, o)
	before, _ := g.resident()
	for !strings.Contains(g.Output(), "the cache is warm") {
		<-time.After(100 * time.Millisecond)
	}
	warm := time.Since(began)
	now, most := g.resident()
	b.ReportMetric(float64(before), "MiB-at-start")
	b.ReportMetric(float64(now), "MiB-resident")
	b.ReportMetric(float64(most), "MiB-at-most")
	b.ReportMetric(float64(now-before)*(1<<20)/float64(size), "B/key")
	b.ReportMetric(warm.Seconds(), "s-until-warm")
	if answer := g.Call("GET", "/rest/users", "", Bearer("service-0000000")); answer.Status != http.StatusBadGateway { // no upstream
		b.Errorf("a cached key is answered %d", answer.Status)
	}
	g.Stop()
}

func importable(first, n int) []any {
	all := make([]any, n)
	for i := range all {
		name := fmt.Sprintf("service-%07d", first+i)
		sum := sha256.Sum256([]byte(name))
		permissions := map[string]any{"mode": "all"}
		if i%2 == 0 {
			permissions = Restricted(map[string]any{"rest": map[string]any{"access": "read"}, "graphql": map[string]any{"access": "write"}})
		}
		all[i] = map[string]any{"name": name, "owner": fmt.Sprint("team-", i%1000), "permissions": permissions, "sha256": hex.EncodeToString(sum[:]), "prefix": "kw_" + name[8:15]}
	}
	return all
}
