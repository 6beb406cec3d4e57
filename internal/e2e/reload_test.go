package e2e

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// inFlight is how many requests are under way all the time.
const inFlight = 200

// load sends requests without a pause until stop is closed.
type load struct {
	stop    chan struct{}
	workers sync.WaitGroup
	allowed atomic.Int64
	other   sync.Map // answer or error: true
}

func startLoad(g *Gateway, secret string) *load {
	l := &load{stop: make(chan struct{})}
	for range inFlight {
		l.workers.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				answer, err := g.TryCall("GET", "/rest/users", "", Bearer(secret))
				switch {
				case err != nil:
					l.other.Store(err.Error(), true)
				case answer.Status != http.StatusOK:
					l.other.Store(answer.String(), true)
				default:
					l.allowed.Add(1)
				}
			}
		})
	}
	return l
}

func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.workers.Wait()
	l.other.Range(func(what, _ any) bool {
		t.Errorf("a request was answered %v", what)
		return true
	})
}

// await waits until n more requests were allowed.
func (l *load) await(t *testing.T, n int64) {
	t.Helper()
	from := l.allowed.Load()
	Eventually(t, 30*time.Second, "served", func() bool { return l.allowed.Load() >= from+n })
}

// metricsCaddyfile is caddyfile with the metrics on the admin API's address.
var metricsCaddyfile = strings.Replace(caddyfile, "	api_key_admin\n", `	handle /metrics {
		metrics
	}
	handle {
		api_key_admin
	}
`, 1)

// metric returns the sum of all series that begin with prefix.
func (g *Gateway) metric(t *testing.T, prefix string) float64 {
	t.Helper()
	answer := g.Admin("GET", "/metrics", nil)
	Expect(t, answer, http.StatusOK, "")
	sum := 0.0
	lines := bufio.NewScanner(strings.NewReader(string(answer.Body)))
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), prefix) {
			continue
		}
		fields := strings.Fields(lines.Text())
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		sum += value
	}
	return sum
}

func TestReloadUnderLoadDropsNoRequestAndKeepsTheCache(t *testing.T) {
	upstream := NewUpstream(t)
	g := Start(t, Options{Config: metricsCaddyfile, Upstream: upstream.Address})
	key := g.Create(nil)
	g.settled() // a key is looked up again when its change is heard of
	for range 3 {
		Expect(t, g.Call("GET", "/rest/users", "", Bearer(key.Secret)), http.StatusOK, "")
	}
	const misses = `caddy_api_key_auth_cache_total{result="miss"}`
	before := g.metric(t, misses)
	if before == 0 {
		t.Fatal("the first request of a key was no cache miss")
	}

	l := startLoad(g, key.Secret)
	l.await(t, inFlight)
	// Another configuration each time: Caddy passes over one that it has.
	for i, extra := range []string{"public /one", "public /two", "public /three"} {
		g.WriteConfig(strings.Replace(metricsCaddyfile, "public /healthz", extra+" /healthz", 1))
		if out, err := g.Reload(); err != nil {
			t.Errorf("reload %d: %v\n%s", i, err, out)
		}
		l.await(t, inFlight)
	}
	l.end(t)
	if upstream.Count() == 0 {
		t.Error("no request reached the upstream")
	}
	if after := g.metric(t, misses); after != before {
		t.Errorf("%v look-ups after the reloads, want none: the cache was lost", after-before)
	}
	Expect(t, g.Call("GET", "/three", ""), http.StatusOK, "")
	Expect(t, g.Call("GET", "/two", ""), http.StatusUnauthorized, "missing_key")
	g.Patch(key.ID, map[string]any{"enabled": false})
	Expect(t, g.Call("GET", "/rest/users", "", Bearer(key.Secret)), http.StatusUnauthorized, "disabled_key")
}

func TestFailedReloadChangesNothing(t *testing.T) {
	upstream := NewUpstream(t)
	g := Start(t, Options{Config: metricsCaddyfile, Upstream: upstream.Address})
	key := g.Create(nil)
	l := startLoad(g, key.Secret)
	l.await(t, inFlight)
	for _, c := range []struct{ name, old, faulty, says string }{
		{"unknown option", "realm", "relm", "relm"},
		{"two apis claim a pattern", "path /rpc", "path /rest/*", "/rest/*"},
		{"bad pattern", "path /rpc", "path /rpc/*/x", "/rpc/*/x"},
		{"store that can't be opened", "./data/keys.db", "/proc/none/keys.db", "/proc/none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g.WriteConfig(strings.Replace(metricsCaddyfile, c.old, c.faulty, 1))
			out, err := g.Reload()
			if err == nil || !strings.Contains(out, c.says) {
				t.Errorf("reload said %v: %s; want an error that names %s", err, out, c.says)
			}
		})
	}
	l.await(t, inFlight)
	l.end(t)
	g.Patch(key.ID, map[string]any{"enabled": false})
	Expect(t, g.Call("GET", "/rest/users", "", Bearer(key.Secret)), http.StatusUnauthorized, "disabled_key")
}
