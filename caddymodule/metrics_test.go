package caddymodule

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

const measured = "route {\nmetrics /metrics\n" + standard + "}"

// metric returns the value of a metric; 0 if it is not there.
func (s *site) metric(name string) float64 {
	s.t.Helper()
	_, text := s.do("GET", "/metrics", func(r *http.Request) { r.Header.Set("Accept-Encoding", "identity") })
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), name+" "); found {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

func TestRequestsAreCountedByAPIAccessAndOutcome(t *testing.T) {
	s := newSite(t, "", measured)
	_, reader := s.key(func(k *keys.Key) { k.Permissions.Mode = permission.ReadOnly })
	for _, c := range []struct {
		labels, method, target, secret string
	}{
		{`access="read",api="rest",outcome="allowed"`, "GET", "/rest/a", reader},
		{`access="write",api="rest",outcome="insufficient_access"`, "POST", "/rest/a", reader},
		{`access="none",api="",outcome="missing_key"`, "GET", "/rest/a", ""},
		{`access="none",api="",outcome="no_such_api"`, "GET", "/no/such", reader},
		{`access="none",api="",outcome="ambiguous_request"`, "GET", "/rest//a", reader},
		{`access="none",api="",outcome="allowed"`, "GET", "/healthz", ""},
	} {
		name := "caddy_api_key_auth_requests_total{" + c.labels + "}"
		before := s.metric(name)
		s.do(c.method, c.target, func(r *http.Request) {
			if c.secret != "" {
				bearer(c.secret)(r)
			}
		})
		if got := s.metric(name) - before; got != 1 {
			t.Errorf("%s rose by %v, want 1", name, got)
		}
	}
}

func TestLookUpsAreCountedByWhereTheyEnded(t *testing.T) {
	s := newSite(t, "", measured)
	_, secret := s.key()
	_, gone := s.key()
	id, err := s.engine().store.Find(t.Context(), digestOf(t, gone))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.engine().store.Delete(t.Context(), keys.By{Actor: "test", At: time.Now()}, id.ID(), keys.Guard{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ result, secret string }{{"miss", secret}, {"hit", secret}, {"miss", gone}, {"unknown", gone}} {
		name := `caddy_api_key_auth_cache_total{result="` + c.result + `"}`
		before, queries := s.metric(name), s.metric("caddy_api_key_auth_store_seconds_count")
		s.do("GET", "/rest/a", bearer(c.secret))
		if got := s.metric(name) - before; got != 1 {
			t.Errorf("%s rose by %v, want 1", name, got)
		}
		want := 0.0
		if c.result == "miss" {
			want = 1
		}
		if got := s.metric("caddy_api_key_auth_store_seconds_count") - queries; got != want {
			t.Errorf("a %s asked the store %v times, want %v", c.result, got, want)
		}
	}
}

func digestOf(t *testing.T, secret string) keys.Digest {
	t.Helper()
	parsed, err := keys.ForeignSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Digest()
}

func TestKeysAreCountedByState(t *testing.T) {
	s := newSite(t, "", measured)
	keyStates.last.Store(nil) // what another test's store held
	s.key()
	s.key()
	s.key(func(k *keys.Key) { k.Enabled = false })
	s.key(func(k *keys.Key) { k.ExpiresAt = time.Now().Add(-time.Hour) })
	for state, want := range map[string]float64{"active": 2, "disabled": 1, "expired": 1} {
		if got := s.metric(`caddy_api_key_auth_key_state{state="` + state + `"}`); got != want {
			t.Errorf("%s: %v, want %v", state, got, want)
		}
	}
}

func TestAReloadKeepsCounters(t *testing.T) {
	s := newSite(t, "", measured)
	const name = `caddy_api_key_auth_requests_total{access="none",api="",outcome="missing_key"}`
	s.want(401, "GET", "/rest/a")
	before := s.metric(name)
	if err := s.load("", "respond /x x\n"+measured); err != nil {
		t.Fatal(err)
	}
	if got := s.metric(name); got < before {
		t.Errorf("it fell from %v to %v", before, got)
	}
}

func TestTheFeedIsConnectedAsLongAsItsStoreIsFollowed(t *testing.T) {
	s := newSite(t, "", measured)
	const name = "caddy_api_key_auth_feed_connected"
	s.eventually("the feed is connected", func() bool { return s.metric(name) == 1 })
	s.engine().stop() // what follows the store, and nothing else
	s.eventually("the feed is cut", func() bool { return s.metric(name) == 0 })
}

func TestFaultsOfTheStoreAreCounted(t *testing.T) {
	s := newSite(t, "", measured)
	const name = "caddy_api_key_auth_store_errors_total"
	before := s.metric(name)
	s.engine().fault("testing")(errors.New("a fault"))
	s.engine().fault("testing")(errors.New("a fault")) // logged once, counted twice
	if got := s.metric(name) - before; got < 2 {
		t.Errorf("rose by %v, want 2", got)
	}
}

func TestAdminRequestsAreCountedByStatus(t *testing.T) {
	s := newSite(t, "", "route {\nmetrics /metrics\napi_key_admin\n}")
	for _, c := range []struct {
		status, path string
	}{{"401", "/v1/keys"}, {"200", "/healthz"}, {"404", "/v1/nothing"}} {
		name := `caddy_api_key_admin_requests_total{status="` + c.status + `"}`
		before := s.metric(name)
		s.do("GET", c.path)
		if got := s.metric(name) - before; got != 1 {
			t.Errorf("%s: %s rose by %v, want 1", c.path, name, got)
		}
	}
}
