package e2e

import (
	"hash/crc32"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// withoutAdmin is a gateway that only guards.
func withoutAdmin(config string) string {
	before, _, _ := strings.Cut(config, "http://localhost:2020")
	return before
}

// startFleet starts gateways on one database, all at once: the first with an
// admin API.
func startFleet(t *testing.T, address string, n int) []*Gateway {
	t.Helper()
	upstream := NewUpstream(t)
	fleet := make([]*Gateway, n)
	var all sync.WaitGroup
	for i := range fleet {
		all.Go(func() {
			o := Options{Config: onPostgres(address), Upstream: upstream.Address}
			if i > 0 {
				o.Config, o.NoAdmin = withoutAdmin(o.Config), true
			}
			fleet[i] = Start(t, o)
		})
	}
	all.Wait()
	return fleet
}

func TestAKeyDeletedOnOneGatewayIsRefusedOnTheOthers(t *testing.T) {
	fleet := startFleet(t, pgtest.Database(t), 3)
	a := fleet[0]
	var lags []time.Duration
	for range 20 {
		key := a.Create(nil)
		for _, g := range fleet { // at once, and remembered from then on
			Expect(t, g.Call("GET", "/rest/users", "", Bearer(key.Secret)), http.StatusOK, "")
		}
		Expect(t, a.Admin("DELETE", "/v1/keys/"+key.ID, nil), http.StatusNoContent, "")
		deleted := time.Now()
		Expect(t, a.Call("GET", "/rest/users", "", Bearer(key.Secret)), http.StatusUnauthorized, "unknown_key")
		for _, g := range fleet[1:] {
			Eventually(t, 5*time.Second, "refused", func() bool {
				return g.Call("GET", "/rest/users", "", Bearer(key.Secret)).Status == http.StatusUnauthorized
			})
		}
		lags = append(lags, time.Since(deleted))
	}
	t.Logf("%d deletions: p50 %s, slowest %s", len(lags), percentile(lags, 50), slices.Max(lags))
}

func TestGatewaysThatStartTogetherMakeOneAdminKey(t *testing.T) {
	address := pgtest.Database(t)
	upstream := NewUpstream(t)
	const n = 5
	fleet := make([]*Gateway, n)
	var all sync.WaitGroup
	for i := range fleet {
		all.Go(func() { fleet[i] = Start(t, Options{Config: onPostgres(address), Upstream: upstream.Address}) })
	}
	all.Wait()
	made := 0
	for _, g := range fleet {
		if _, err := os.Stat(filepath.Join(g.Dir, "xdg-data", "caddy", "admin.key")); err == nil {
			made++
			for _, other := range fleet {
				other.AdminKey = g.AdminKey
			}
		}
	}
	if made != 1 {
		t.Fatalf("%d gateways wrote an admin key", made)
	}
	conn := pgtest.Connect(t, address)
	var migrations, twice, keys int
	err := conn.QueryRow(t.Context(), `SELECT count(*), count(*) - count(DISTINCT version_id), (SELECT count(*) FROM keys) FROM keywarden_migrations WHERE version_id > 0`).Scan(&migrations, &twice, &keys)
	if err != nil || migrations == 0 || twice != 0 || keys != 1 {
		t.Errorf("%d migrations were run, %d of them twice; %d keys are stored: %v", migrations, twice, keys, err)
	}
	for _, g := range fleet {
		if keys, _ := g.Admin("GET", "/v1/keys", nil).Field("data").([]any); len(keys) != 1 {
			t.Errorf("%d keys are stored", len(keys))
		}
	}
}

// status returns the status of a GET, 0 if there is no answer.
func (g *Gateway) status(path string) int {
	answer, err := g.do("GET", g.AdminURL+path, "", nil)
	if err != nil {
		return 0
	}
	return answer.Status
}

func TestAGatewayStartsWhileItsServerIsDown(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	network, socket := server.Socket()
	for name, down := range map[string]func(p *pgtest.Proxy){
		"refused": func(p *pgtest.Proxy) { p.Refuse() },
		"hanging": func(p *pgtest.Proxy) { p.Hold() },
	} {
		t.Run(name, func(t *testing.T) {
			proxy := pgtest.NewProxy(t, network, socket)
			database := pgtest.Name(server.Database(t))
			down(proxy)
			upstream := NewUpstream(t)
			o := Options{Config: onPostgres(proxy.Address(database)), Upstream: upstream.Address}
			g := launch(t, o)
			Eventually(t, startTimeout, "alive", func() bool { return g.status("/healthz") == http.StatusOK })
			if got := g.status("/readyz"); got != http.StatusServiceUnavailable {
				t.Errorf("it says that it is ready: %d", got)
			}
			secret := Bearer(wellFormed("kw_" + strings.Repeat("a", 32)))
			answer := g.Call("GET", "/rest/users", "", secret)
			Expect(t, answer, http.StatusServiceUnavailable, "store_unavailable")
			if answer.Header.Get("Retry-After") == "" {
				t.Error("it doesn't say when to try again")
			}

			if name == "refused" {
				proxy.Accept(t)
			}
			proxy.Release()
			back := time.Now()
			Eventually(t, startTimeout, "ready", func() bool { return g.status("/readyz") == http.StatusOK })
			Eventually(t, startTimeout, "401", func() bool {
				return g.Call("GET", "/rest/users", "", secret).Status == http.StatusUnauthorized
			})
			Eventually(t, startTimeout, "an admin key", func() bool { // its file comes first
				g.readAdminKey(o)
				return g.AdminKey != "" && g.Admin("GET", "/v1/whoami", nil).Status == http.StatusOK
			})
			if took := time.Since(back); took > 5*time.Second {
				t.Errorf("all was right %s after the server was back", took)
			}
		})
	}
}

func TestAWrongDatabaseIsRefusedAtLoad(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	newer := server.Database(t)
	g := Start(t, Options{Config: onPostgres(newer)})
	g.Stop()
	conn := pgtest.Connect(t, newer)
	if _, err := conn.Exec(t.Context(), `INSERT INTO keywarden_migrations (version_id, is_applied) VALUES (9999, true)`); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		newer:                                   "newer version",
		server.Address("no_such_database"):      "does not exist",
		"postgres://u:hush@h:port/d":            "expected an address",
		"host=h password=hush sslmode=nonsense": "sslmode",
	} {
		out := StartRefused(t, Options{Config: onPostgres(address)})
		if !strings.Contains(out, want) || strings.Contains(out, "hush") {
			t.Errorf("%s: want %q, and no password:\n%s", address, want, out)
		}
	}
}

// Killed, again and again, while changes are made: the gateway, the server, or
// both at once.
func TestKillingServerOrGatewayLosesNoAcknowledgedChange(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{Durable: true})
	dir, address := t.TempDir(), server.Database(t)
	a := &acknowledged{created: map[string]string{}, deleted: map[string]bool{}, uncertain: map[string]bool{}}
	const rounds, changes = 6, 15
	for round := range rounds {
		g := Start(t, Options{Config: onPostgres(address), Dir: dir})
		a.check(t, g)
		done := make(chan struct{})
		go func() { defer close(done); a.write(g, round) }()
		until := a.changes.Load() + changes + int64(round)
		Eventually(t, startTimeout, "changed", func() bool { return a.changes.Load() >= until })
		if round%3 > 0 {
			server.Kill()
		}
		if round%3 == 2 { // the server comes back under the same gateway
			server.Restart(t)
			until = a.changes.Load() + changes
			Eventually(t, startTimeout, "changed again", func() bool { return a.changes.Load() >= until })
		}
		g.Kill()
		<-done
		if round%3 == 1 {
			server.Restart(t)
		}
	}
	a.check(t, Start(t, Options{Config: onPostgres(address), Dir: dir}))
	if len(a.created) < rounds || len(a.deleted) < rounds {
		t.Errorf("only %d keys were made and %d deleted", len(a.created), len(a.deleted))
	}
}

// wellFormed adds the checksum that the contract asks for.
func wellFormed(random string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum, n := make([]byte, 6), crc32.ChecksumIEEE([]byte(random))
	for i := range sum {
		sum[len(sum)-1-i] = digits[n%62]
		n /= 62
	}
	return random + string(sum)
}
