package gate

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

func limitedTo(t *testing.T, list ...string) func(*keys.Key) {
	t.Helper()
	sources, faults := keys.ParseSources(list)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return func(k *keys.Key) { k.Sources = sources }
}

// from is the address that a test's request says it comes from.
func from(r *http.Request) string { return r.Header.Get("Test-From") }

func TestKeyIsRefusedFromOtherNetworks(t *testing.T) {
	b := newBench(t, testOptions)
	g := b.gate(t, contractConfig(), DefaultCredentials())
	g.auth.SeeClients(from)
	_, limited := b.create(t, limitedTo(t, "10.0.0.0/8", "2001:db8::/32"))
	_, free := b.create(t, nil)
	for _, c := range []struct {
		name, target, address string
		secret                keys.Secret
		want                  Outcome
	}{
		{"inside", "/rest/x", "10.1.2.3", limited, Allowed},
		{"inside, once more, from memory", "/rest/x", "10.1.2.3", limited, Allowed},
		{"inside, mapped", "/rest/x", "::ffff:10.1.2.3", limited, Allowed},
		{"inside, IPv6", "/rest/x", "2001:db8::1", limited, Allowed},
		{"outside", "/rest/x", "192.0.2.1", limited, SourceNotAllowed},
		{"outside, before anything about the path", "/nowhere", "192.0.2.1", limited, SourceNotAllowed},
		{"no address", "/rest/x", "", limited, SourceNotAllowed},
		{"a socket", "/rest/x", "@", limited, SourceNotAllowed},
		{"a public path", "/docs/x", "192.0.2.1", limited, Allowed},
		{"no limit", "/rest/x", "192.0.2.1", free, Allowed},
		{"no limit, no address", "/rest/x", "", free, Allowed},
	} {
		d := g.Decide(request("GET", c.target, "", "X-API-Key", c.secret.Reveal(), "Test-From", c.address), time.Now())
		if d.Outcome != c.want {
			t.Errorf("%s: %s, want %s", c.name, d.Outcome, c.want)
		}
		if d.Outcome == SourceNotAllowed && (d.Key == nil || d.Found == Miss && c.name != "outside") {
			t.Errorf("%s: refused as %+v", c.name, d)
		}
	}
}

func TestLimitedKeyIsRefusedWhereNobodySeesClients(t *testing.T) {
	b := newBench(t, testOptions)
	g := b.gate(t, contractConfig(), DefaultCredentials())
	_, limited := b.create(t, limitedTo(t, "0.0.0.0/0", "::/0"))
	d := g.Decide(request("GET", "/rest/x", "", "X-API-Key", limited.Reveal()), time.Now())
	if d.Outcome != SourceNotAllowed {
		t.Fatalf("decided %s", d.Outcome)
	}
	w := httptest.NewRecorder()
	d.WriteTo(w, "api")
	if w.Code != http.StatusForbidden || w.Header().Get("WWW-Authenticate") != `Bearer realm="api"` {
		t.Errorf("answered %d %v", w.Code, w.Header())
	}
}

// A key that opens nothing any more says so, wherever it comes from.
func TestStatusComesBeforeTheSource(t *testing.T) {
	b := newBench(t, testOptions)
	g := b.gate(t, contractConfig(), DefaultCredentials())
	_, off := b.create(t, func(k *keys.Key) { limitedTo(t, "10.0.0.0/8")(k); k.Enabled = false })
	if d := g.Decide(request("GET", "/rest/x", "", "X-API-Key", off.Reveal()), time.Now()); d.Outcome != DisabledKey {
		t.Errorf("decided %s", d.Outcome)
	}
}

func TestJudgingASourceOfARememberedKeyDoesNotAllocate(t *testing.T) {
	b := newBench(t, testOptions)
	g := b.gate(t, contractConfig(), DefaultCredentials())
	g.auth.SeeClients(from)
	_, limited := b.create(t, limitedTo(t, "2001:db8::/32", "10.0.0.0/8"))
	r, now := request("GET", "/rest/x", "", "X-API-Key", limited.Reveal(), "Test-From", "10.1.2.3"), time.Now()
	if d := g.Decide(r, now); d.Outcome != Allowed || d.Needs != permission.Read {
		t.Fatalf("decided %+v", d)
	}
	if n := testing.AllocsPerRun(100, func() { g.Decide(r, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
