package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// BenchmarkRequestsBesideWarming is what requests with a cached key take while
// a gateway reads a million keys from Postgres into its cache, and, beside it,
// what they take at the same gateway when that is done.
func BenchmarkRequestsBesideWarming(b *testing.B) {
	size := millionOrFewer()
	s := startShared(b, pgtest.Options{})
	first := s.gateway(nil)
	importMany(b, first, size)
	key := first.Create(nil)
	first.settled()
	first.Stop()
	o := quiet(s.options(nil, fmt.Sprint("max_keys ", size), fmt.Sprint("warm ", size)))
	for b.Loop() {
		began := time.Now()
		g := Start(b, o)
		Expect(b, g.use(key.Secret), http.StatusOK, "")
		probe, over, probed := newProber(b, g, key.Secret), make(chan struct{}), make(chan []time.Duration, 1)
		go func() {
			times, err := probe.probe(over)
			if err != nil {
				b.Error(err)
			}
			probed <- times
		}()
		for !strings.Contains(g.Output(), "the cache is warm") {
			<-time.After(10 * time.Millisecond)
		}
		close(over)
		beside := <-probed
		b.ReportMetric(time.Since(began).Seconds(), "s-until-warm")
		_, after := probe.besides(b, nil, 5*time.Second, func() {})
		for name, times := range map[string][]time.Duration{"warming": beside, "warm": after} {
			b.ReportMetric(milliseconds(percentile(times, 50)), "p50-ms-"+name)
			b.ReportMetric(milliseconds(percentile(times, 99)), "p99-ms-"+name)
			b.ReportMetric(milliseconds(slices.Max(times)), "slowest-ms-"+name)
		}
		g.Stop()
	}
}
