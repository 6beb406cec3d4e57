package e2e

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// recovery is within which all is right again after the store is back, or a
// way to it (contract, section 11).
const recovery = 5 * time.Second

// shared is a Postgres and what the gateways on it have in common.
type shared struct {
	t        testing.TB
	server   *pgtest.Server
	database string
	dir      string // with the first admin key
	upstream string
}

func startShared(t testing.TB, o pgtest.Options) *shared {
	t.Helper()
	server := pgtest.Start(t, o)
	return &shared{t, server, pgtest.Name(server.Database(t)), t.TempDir(), NewUpstream(t).Address}
}

// gateway starts a gateway with these lines in its cache block. via leads it
// to the server; nil: it is connected directly.
func (s *shared) gateway(via *pgtest.Proxy, cache ...string) *Gateway {
	s.t.Helper()
	return Start(s.t, s.options(via, cache...))
}

func (s *shared) options(via *pgtest.Proxy, cache ...string) Options {
	address := s.server.Address(s.database)
	if via != nil {
		address = via.Address(s.database)
	}
	return Options{Config: configured(address, cache...), Upstream: s.upstream, Dir: s.dir}
}

// configured is the tests' configuration with a Postgres store and metrics.
func configured(address string, cache ...string) string {
	lines := `store postgres "` + address + `"`
	if len(cache) > 0 {
		lines += "\n\t\tcache {\n\t\t\t" + strings.Join(cache, "\n\t\t\t") + "\n\t\t}"
	}
	return strings.Replace(metricsCaddyfile, "store sqlite ./data/keys.db", lines, 1)
}

// proxy starts a way to the server.
func (s *shared) proxy() *pgtest.Proxy {
	s.t.Helper()
	network, socket := s.server.Socket()
	return pgtest.NewProxy(s.t, network, socket)
}

// use asks for something with the secret.
func (g *Gateway) use(secret string) Answer {
	g.t.Helper()
	return g.Call("GET", "/rest/users", "", Bearer(secret))
}

// delete deletes a key, which must succeed.
func (g *Gateway) delete(id string, headers ...Header) Answer {
	g.t.Helper()
	answer := g.Admin("DELETE", "/v1/keys/"+id, nil, headers...)
	Expect(g.t, answer, http.StatusNoContent, "")
	return answer
}

// digest is what is sent to the store to look a secret up.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return string(sum[:])
}

// percentile returns which of the durations p percent don't exceed.
func percentile(all []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

func TestKeysAreMadeAndDeletedOnEveryGatewayUnderLoad(t *testing.T) {
	s := startShared(t, pgtest.Options{})
	a, others := s.gateway(nil), []*Gateway{s.gateway(nil), s.gateway(nil)}
	stay := a.Create(nil)
	stop := make(chan struct{})
	var load sync.WaitGroup
	for _, g := range append([]*Gateway{a}, others...) {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond): // a load, not a benchmark
					Expect(t, g.use(stay.Secret), http.StatusOK, "")
				}
			}
		})
	}
	defer load.Wait()
	defer close(stop)

	const deletions = 200
	lags := make([]time.Duration, 0, deletions*len(others))
	floor, floors := newFloor(t, s.server.Address(s.database)), make([]time.Duration, 0, deletions)
	for range deletions {
		key := a.Create(nil)
		for _, g := range others { // the first request there
			Expect(t, g.use(key.Secret), http.StatusOK, "")
		}
		a.delete(key.ID)
		deleted := time.Now()
		Expect(t, a.use(key.Secret), http.StatusUnauthorized, "unknown_key")
		lags = append(lags, refusedAfter(t, deleted, key.Secret, others)...)
		floors = append(floors, floor.notify())
	}
	t.Logf("%d deletions on 2 other gateways: p50 %s, p99 %s, slowest %s; a bare notification: p50 %s, p99 %s, slowest %s",
		deletions, percentile(lags, 50), percentile(lags, 99), slices.Max(lags), percentile(floors, 50), percentile(floors, 99), slices.Max(floors))
	const lag = "caddy_api_key_auth_change_lag_seconds_"
	for i, g := range others { // where the time went: on the way, or after it
		t.Logf("gateway %d applied %.1f %% of all changes within 50 ms, the commit included",
			i+1, 100*g.metric(t, lag+`bucket{le="0.05"}`)/g.metric(t, lag+"count"))
	}
}

// refusedAfter returns how long after a moment each gateway refused a secret.
func refusedAfter(t *testing.T, since time.Time, secret string, gateways []*Gateway) []time.Duration {
	t.Helper()
	lags := make([]time.Duration, len(gateways))
	var all sync.WaitGroup
	for i, g := range gateways {
		all.Go(func() {
			for time.Since(since) < propagation {
				answer := g.use(secret)
				lags[i] = time.Since(since)
				if answer.Status == http.StatusUnauthorized {
					Expect(t, g.use(secret), http.StatusUnauthorized, "unknown_key")
					return
				}
				<-time.After(time.Millisecond) // else it would be this that keeps Postgres waiting
			}
			t.Errorf("a deleted key was accepted for %s", propagation)
		})
	}
	all.Wait()
	return lags
}

func TestAGatewayThatWasCutOffLosesNoChange(t *testing.T) {
	s := startShared(t, pgtest.Options{})
	way := s.proxy()
	a, b := s.gateway(nil), s.gateway(way)
	var slowest time.Duration
	for round := range 5 {
		keys := make([]Key, 20)
		for i := range keys {
			keys[i] = a.Create(map[string]any{"name": fmt.Sprint("key ", i, " of round ", round)})
		}
		a.settled() // what is heard of a key makes the gateway forget it
		for _, key := range keys {
			Expect(t, b.use(key.Secret), http.StatusOK, "")
		}
		if round%2 == 0 { // for a while, or for a moment
			way.Refuse()
		}
		way.Cut()
		for i, key := range keys {
			switch i % 3 {
			case 0:
				a.delete(key.ID)
			case 1:
				a.Patch(key.ID, map[string]any{"enabled": false})
			}
		}
		if round%2 == 0 {
			Expect(t, b.use(keys[2].Secret), http.StatusOK, "")
			way.Accept(t)
		}
		back := time.Now()
		want := []string{"unknown_key", "disabled_key", ""}
		for i, key := range keys {
			Eventually(t, recovery, "as changed: "+want[i%3], func() bool { return b.use(key.Secret).Text("code") == want[i%3] })
		}
		slowest = max(slowest, time.Since(back))
	}
	t.Logf("all changes held at most %s after the way was back", slowest)
}

// Where look-ups are answered and changes are not, nothing tells that a key
// was deleted but asking for it again.
func TestWithTheFeedCutTheTTLBoundsHowLongADeletedKeyIsAccepted(t *testing.T) {
	const ttl = time.Second
	s := startShared(t, pgtest.Options{})
	way := s.proxy()
	feed := way.Catch("FROM counters")
	a, b := s.gateway(nil), s.gateway(way, "ttl "+ttl.String(), "unknown_ttl 1s")
	name := b.name()
	deleted, disabled, stays := a.Create(nil), a.Create(nil), a.Create(nil)
	a.settled()
	cut := feed.Hold()
	for _, key := range []Key{deleted, disabled, stays} {
		Expect(t, b.use(key.Secret), http.StatusOK, "")
	}
	a.Patch(disabled.ID, map[string]any{"enabled": false})
	began := time.Now()
	answer := a.delete(deleted.ID, Header{"Prefer", "wait=1"})
	<-cut
	if got := answer.Header.Get("Keywarden-Pending-Nodes"); got != name {
		t.Fatalf("pending is %q, want %q: the feed is not cut", got, name)
	}
	for key, code := range map[Key]string{deleted: "unknown_key", disabled: "disabled_key"} {
		Eventually(t, ttl+propagation, code, func() bool { return b.use(key.Secret).Text("code") == code })
	}
	t.Logf("with a ttl of %s, refused at most %s after the deletion", ttl, time.Since(began))
	Eventually(t, recovery, "not ready", func() bool { return b.status("/readyz") == http.StatusServiceUnavailable })
	Expect(t, b.use(stays.Secret), http.StatusOK, "")

	feed.Release()
	Eventually(t, recovery, "ready", func() bool { return b.status("/readyz") == http.StatusOK })
	if answer := a.delete(stays.ID, Header{"Prefer", "wait=5"}); answer.Header.Get("Preference-Applied") == "" {
		t.Errorf("a deletion after the cut does not reach it: %v", answer.Header)
	}
	Expect(t, b.use(stays.Secret), http.StatusUnauthorized, "unknown_key")
}

func TestAKeyChangedDuringItsLookUpIsNotAcceptedAfterwards(t *testing.T) {
	s := startShared(t, pgtest.Options{})
	way := s.proxy()
	a, b := s.gateway(nil), s.gateway(way)
	wait := Header{"Prefer", "wait=1"} // less than a look-up waits
	for name, change := range map[string]func(id string) Answer{
		"deleted": func(id string) Answer { return a.delete(id, wait) },
		"disabled": func(id string) Answer {
			return a.Admin("PATCH", "/v1/keys/"+id, map[string]any{"enabled": false}, wait)
		},
		"rotated": func(id string) Answer { return a.Admin("POST", "/v1/keys/"+id+"/rotate", nil, wait) },
	} {
		raced := 0
		for round := range 4 {
			key := a.Create(nil)
			a.settled()
			lookUp := way.Catch(digest(key.Secret))
			held := lookUp.Hold()
			asked := make(chan Answer, 1)
			go func() {
				answer, err := b.TryCall("GET", "/rest/users", "", Bearer(key.Secret))
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				asked <- answer
			}()
			<-held // what the server said of the key is from before the change
			answer := change(key.ID)
			if answer.Header.Get("Preference-Applied") == "" { // it heard too late: this shows nothing
				lookUp.Release()
				<-asked
				continue
			}
			raced++
			if round%2 == 0 { // somebody asks before the answer comes, too
				go func() { _, _ = b.TryCall("GET", "/rest/users", "", Bearer(key.Secret)) }()
			}
			lookUp.Release()
			if first := <-asked; first.Status == http.StatusOK {
				t.Errorf("%s: accepted after the change held on this gateway", name)
			}
			for range 50 {
				if answer := b.use(key.Secret); answer.Status != http.StatusUnauthorized {
					t.Fatalf("%s: brought back by the look-up: %s", name, answer)
				}
			}
		}
		if raced == 0 {
			t.Errorf("%s: the other gateway never heard of it during the look-up", name)
		}
	}
}
