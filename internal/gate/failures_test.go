package gate

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func TestFailuresAreCountedBySource(t *testing.T) {
	now := time.Now()
	l := NewFailLimit(3, time.Minute)
	fail := func(address string, want time.Duration) {
		t.Helper()
		if got := l.Fail(address, now); got != want {
			t.Errorf("%q: wait %s, want %s", address, got, want)
		}
	}
	for range 3 {
		fail("203.0.113.7", 0)
	}
	fail("203.0.113.7", 20*time.Second)
	fail("::ffff:203.0.113.7", 20*time.Second)
	fail("203.0.113.8", 0)
	for i := range 3 {
		fail(fmt.Sprintf("2001:db8:0:1::%d", i), 0)
	}
	fail("2001:db8:0:1:ffff::1", 20*time.Second)
	fail("2001:db8:0:2::1", 0)
	fail("", 0)
	fail("@", 0)
	fail("/run/x", 0)
	fail("", 20*time.Second)

	now = now.Add(19 * time.Second)
	fail("203.0.113.7", time.Second)
	now = now.Add(time.Second)
	fail("203.0.113.7", 0) // what was refused has cost nothing
	fail("203.0.113.7", 20*time.Second)
	now = now.Add(time.Hour)
	for range 3 {
		fail("203.0.113.7", 0)
	}
	fail("203.0.113.7", 20*time.Second)
	now = now.Add(-2 * time.Hour) // a clock that is set back lets nobody wait for ever
	if got := l.Fail("203.0.113.9", now); got != 0 {
		t.Errorf("wait %s", got)
	}
}

func TestAFailureThatWasNoneIsTakenBack(t *testing.T) {
	now := time.Now()
	l := NewFailLimit(3, time.Minute)
	for range 100 {
		if wait := l.Fail("203.0.113.7", now); wait != 0 {
			t.Fatalf("wait %s", wait)
		}
		l.Forgive("::ffff:203.0.113.7")
	}
	l.Forgive("203.0.113.8") // nothing was counted, and nothing is saved up
	for _, address := range []string{"203.0.113.7", "203.0.113.8"} {
		for range 3 {
			if wait := l.Fail(address, now); wait != 0 {
				t.Errorf("%s: wait %s", address, wait)
			}
		}
		if l.Fail(address, now) == 0 {
			t.Errorf("%s may fail more often than it should", address)
		}
	}
}

func TestFailuresTakeBoundedMemory(t *testing.T) {
	l, now := NewFailLimit(2, time.Minute), time.Now()
	for i := range 3 * maxFailing {
		l.Fail(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), now)
		if len(l.spent) > maxFailing {
			t.Fatalf("%d sources are remembered", len(l.spent))
		}
	}
	// Those who have not failed lately go first.
	l, now = NewFailLimit(2, time.Minute), now.Add(time.Hour)
	for i := range maxFailing - 1 {
		l.Fail(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), now)
	}
	now = now.Add(time.Hour)
	for range 2 {
		l.Fail("203.0.113.7", now)
	}
	l.Fail("203.0.113.8", now)
	if l.Fail("203.0.113.7", now) == 0 {
		t.Error("one who fails now was forgotten for those of an hour ago")
	}
}

// Only requests that fail are slowed down: a key behind the same address as
// somebody who guesses goes on working, and so does everything but guessing.
func TestOnlyFailuresAreAnswered429(t *testing.T) {
	b := newBench(t, testOptions)
	g := b.gate(t, contractConfig(), DefaultCredentials())
	g.auth.SeeClients(from).LimitFailures(NewFailLimit(2, time.Minute))
	_, good := b.create(t, nil)
	_, off := b.create(t, func(k *keys.Key) { k.Enabled = false })
	stranger, err := keys.NewSecret("kw", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ask := func(secret, address string) Decision {
		r := request("GET", "/rest/x", "", "Test-From", address)
		if secret != "" {
			r.Header.Set("X-API-Key", secret)
		}
		return g.Decide(r, now)
	}
	const attacker = "203.0.113.7"
	for i, c := range []struct {
		secret, address string
		want            Outcome
	}{
		{"", attacker, MissingKey},
		{off.Reveal(), attacker, DisabledKey},
		{stranger.Reveal(), attacker, UnknownKey},
		{"nonsense", attacker, UnknownKey},
		{"nonsense", attacker, TooManyFailures},
		{stranger.Reveal(), attacker, TooManyFailures},
		{good.Reveal(), attacker, Allowed},
		{off.Reveal(), attacker, DisabledKey},
		{"", attacker, MissingKey},
		{"nonsense", "203.0.113.8", UnknownKey},
	} {
		if d := ask(c.secret, c.address); d.Outcome != c.want {
			t.Errorf("request %d: %s, want %s", i, d.Outcome, c.want)
		}
	}
	d := ask("nonsense", attacker)
	w := httptest.NewRecorder()
	d.WriteTo(w, "api")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "30" || w.Header().Get("WWW-Authenticate") != "" ||
		!strings.Contains(w.Body.String(), "too_many_failures") {
		t.Errorf("answered %d %v %s", w.Code, w.Header(), w.Body)
	}
	h, s := answered(t, d, "application/grpc")
	if h.Get("Grpc-Status") != "8" || h.Get("Grpc-Retry-Pushback-Ms") != "30000" || len(s.Details) != 2 {
		t.Errorf("a gRPC client is answered %v", h)
	}
	now = now.Add(30 * time.Second)
	if d := ask("nonsense", attacker); d.Outcome != UnknownKey {
		t.Errorf("after the wait: %s", d.Outcome)
	}
}
