package e2e

import (
	"net/http"
	"slices"
	"sync"
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
