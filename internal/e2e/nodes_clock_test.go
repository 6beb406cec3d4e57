package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// The server's clock is an hour ahead for this gateway: the function that
// tells it the time is not the server's own.
const skewedClock = `CREATE SCHEMA skewed;
	CREATE FUNCTION skewed.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
		AS 'SELECT pg_catalog.statement_timestamp() + interval ''1 hour'''`

func TestAClockThatDiffersFromTheStoresIsLoggedAndShownAndExpiryGoesByTheNodes(t *testing.T) {
	address := pgtest.Database(t)
	if _, err := pgtest.Connect(t, address).Exec(t.Context(), skewedClock); err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(onPostgres(withParameter(address, "search_path=skewed,pg_catalog")), "api_keys {", "api_keys {\n\t\tnode late-1", 1)
	g := Start(t, Options{Config: config, Upstream: NewUpstream(t).Address})
	var self map[string]any
	Eventually(t, propagation, "the difference shown", func() bool {
		list, _ := g.Admin("GET", "/v1/nodes", nil).Field("data").([]any)
		if len(list) != 1 {
			return false
		}
		self, _ = list[0].(map[string]any)
		skew, _ := self["clock_skew_ms"].(float64)
		return skew < -3_590_000 && skew > -3_610_000
	})
	if self["live"] != true || self["name"] != "late-1" {
		t.Errorf("the node is %v", self)
	}
	Eventually(t, propagation, "logged", func() bool { return strings.Contains(g.Output(), "the clock of this node differs from the store's") })

	expires := time.Now().Add(3 * time.Second)
	key := g.Create(map[string]any{"expires_at": expires.UTC().Format(time.RFC3339Nano)})
	for {
		before := time.Now()
		answer := g.use(key.Secret)
		if time.Now().Before(expires) {
			Expect(t, answer, http.StatusOK, "")
		}
		if before.After(expires) {
			Expect(t, answer, http.StatusUnauthorized, "expired_key")
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}

// withParameter adds a parameter to an address of either form.
func withParameter(address, parameter string) string {
	switch {
	case !strings.Contains(address, "://"):
		return address + " " + parameter
	case strings.Contains(address, "?"):
		return address + "&" + parameter
	}
	return address + "?" + parameter
}
