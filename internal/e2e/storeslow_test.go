package e2e

import (
	"crypto/rand"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// queries is how often the gateway has asked the store for a secret.
const queries = "caddy_api_key_auth_store_seconds_count"

func TestASlowStoreDoesNotHoldUpCachedKeys(t *testing.T) {
	const delay = 300 * time.Millisecond
	s := startShared(t, pgtest.Options{})
	way := s.proxy()
	// Cached keys are looked up again, beside the requests, after 3.2 s.
	a, b := s.gateway(nil), s.gateway(way, "ttl 4s")
	cached := make([]Key, 5)
	for i := range cached {
		cached[i] = a.Create(nil)
	}
	a.settled()
	for _, key := range cached {
		Expect(t, b.use(key.Secret), http.StatusOK, "")
	}
	way.Delay(delay)
	defer way.Delay(0)
	before := b.metric(t, queries)
	var hits, misses []time.Duration
	for began := time.Now(); time.Since(began) < 5*time.Second; {
		for _, key := range cached {
			asked := time.Now()
			Expect(t, b.use(key.Secret), http.StatusOK, "")
			hits = append(hits, time.Since(asked))
		}
		<-time.After(PollEvery)
	}
	if b.metric(t, queries) == before {
		t.Error("no cached key was looked up again: the test shows nothing")
	}
	for range 3 {
		key := a.Create(nil)
		asked := time.Now()
		Expect(t, b.use(key.Secret), http.StatusOK, "")
		misses = append(misses, time.Since(asked))
	}
	t.Logf("cached: p50 %s, p99 %s, slowest %s of %d; not cached: %s", percentile(hits, 50), percentile(hits, 99), slices.Max(hits), len(hits), misses)
	if percentile(hits, 99) > slices.Min(misses)/3 {
		t.Errorf("cached keys wait for the store: p99 %s", percentile(hits, 99))
	}
}

func TestRequestsThatWaitForOneSecretAreOneQueryAndGiveUpTogether(t *testing.T) {
	s := startShared(t, pgtest.Options{})
	way := s.proxy()
	a, b := s.gateway(nil), s.gateway(way)
	for name, answered := range map[string]bool{"answered": true, "not answered": false} {
		key := a.Create(nil)
		a.settled()
		lookUp := way.Catch(digest(key.Secret))
		held := lookUp.Hold()
		before := b.metric(t, queries)
		const waiting = 200
		answers := make([]Answer, waiting)
		began := time.Now()
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				var err error
				if answers[i], err = b.TryCall("GET", "/rest/users", "", Bearer(key.Secret)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		<-held
		if answered {
			lookUp.Release()
		}
		all.Wait()
		took := time.Since(began)
		for _, answer := range answers {
			if answered {
				Expect(t, answer, http.StatusOK, "")
			} else {
				checkUnavailable(t, answer)
			}
		}
		if n := lookUp.Times(); answered && n != 1 {
			t.Errorf("%d requests for one secret were %d queries", waiting, n)
		}
		if !answered && (took < time.Second || took > 10*time.Second) {
			t.Errorf("a look-up gave up after %s, want about 2s", took)
		}
		t.Logf("%s: %d requests, %d queries on the wire, %v by the metrics, all done after %s", name, waiting, lookUp.Times(), b.metric(t, queries)-before, took)
		lookUp.Release()
		Eventually(t, recovery, "allowed", func() bool { return b.use(key.Secret).Status == http.StatusOK })
	}
}

func TestAFloodOfUnknownSecretsIsBoundedAndShutsOutNoNewKey(t *testing.T) {
	const lookups, floods = 100, 4000 // a second; on each gateway
	s := startShared(t, pgtest.Options{})
	a := s.gateway(nil, "lookups 100/s")
	gateways := []*Gateway{a, s.gateway(nil, "lookups 100/s"), s.gateway(nil, "lookups 100/s")}
	cached := a.Create(nil)
	a.settled()
	before := make([]float64, len(gateways))
	for i, g := range gateways {
		Expect(t, g.use(cached.Secret), http.StatusOK, "")
		Expect(t, g.use(wellFormed("kw_"+rand.Text()+"abcdef")), http.StatusUnauthorized, "unknown_key")
		before[i] = g.metric(t, queries)
	}
	began := time.Now()
	var flood sync.WaitGroup
	var refused, unavailable atomic.Int64
	for i := range 6 {
		g := gateways[i%len(gateways)]
		flood.Go(func() {
			for range floods * len(gateways) / 6 {
				answer, err := g.TryCall("GET", "/rest/users", "", Bearer(wellFormed("kw_"+rand.Text()+"abcdef")))
				switch {
				case err != nil:
					t.Error(err)
				case answer.Status == http.StatusUnauthorized:
					refused.Add(1)
				default:
					checkUnavailable(t, answer)
					unavailable.Add(1)
				}
			}
		})
	}
	over := make(chan struct{})
	go func() { flood.Wait(); close(over) }()
	made, slowest := createDuring(t, over, gateways, cached)
	<-over
	took := time.Since(began)
	for i, g := range gateways {
		n := g.metric(t, queries) - before[i]
		most := lookups*(1+took.Seconds()) + float64(made)
		t.Logf("gateway %d looked up %v times in %s, at most %.0f", i, n, took, most)
		if n > most {
			t.Errorf("gateway %d looked up %v times in %s, want at most %.0f", i, n, took, most)
		}
	}
	t.Logf("the flood: %d refused, %d not looked up; %d keys made, which worked everywhere after at most %s", refused.Load(), unavailable.Load(), made, slowest)
	if made == 0 || refused.Load() < lookups*int64(len(gateways)) {
		t.Error("there was no flood")
	}
}

// createDuring makes keys until over is closed, and uses each on every
// gateway. It returns how long it took at most until one worked everywhere.
func createDuring(t *testing.T, over <-chan struct{}, gateways []*Gateway, cached Key) (made int, slowest time.Duration) {
	t.Helper()
	for ; ; made++ {
		select {
		case <-over:
			return made, slowest
		default:
		}
		key := gateways[0].Create(nil)
		began := time.Now()
		if made%2 == 0 {
			gateways[0].settled()
		}
		for _, g := range gateways {
			Expect(t, g.use(cached.Secret), http.StatusOK, "")
			// Whether it has heard of the key or not.
			Expect(t, g.use(key.Secret), http.StatusOK, "")
		}
		slowest = max(slowest, time.Since(began))
	}
}
