package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// copyStore runs keywarden store copy in the gateway's folder.
func (g *Gateway) copyStore(from, to string, env ...string) (string, error) {
	cmd := g.Command("store", "copy", from, to)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestKeysMoveToPostgresAndBackWithoutBeingReissued(t *testing.T) {
	address := pgtest.Database(t)
	upstream := NewUpstream(t)
	g := Start(t, Options{Config: caddyfile, Upstream: upstream.Address})
	key, old, off := g.Create(nil), g.Create(nil), g.Create(nil)
	rotated := g.Admin("POST", "/v1/keys/"+old.ID+"/rotate", map[string]any{"grace_seconds": 3600})
	Expect(t, rotated, http.StatusOK, "")
	g.Patch(off.ID, map[string]any{"enabled": false})
	Expect(t, g.Admin("PUT", "/v1/apis/serverless/endpoints/abc", map[string]any{"title": "ABC"}), http.StatusOK, "")
	shown := func(g *Gateway) string {
		return fmt.Sprint(g.Admin("GET", "/v1/keys", nil), g.Admin("GET", "/v1/audit", nil), g.Admin("GET", "/v1/apis", nil))
	}
	want := shown(g)

	move := func(g *Gateway, from, to string, next Options) *Gateway {
		t.Helper()
		g.Stop()
		out, err := g.copyStore(from, to, "DATABASE_URL="+address)
		if err != nil || !strings.Contains(out, "Copied 4 keys.") || !strings.Contains(out, "Checked 5 secrets.") || strings.Contains(out, address) {
			t.Fatalf("store copy %s %s: %v\n%s", from, to, err, out)
		}
		next.Upstream, next.Dir, next.AdminKey = upstream.Address, g.Dir, g.AdminKey
		moved := Start(t, next)
		for secret, status := range map[string]int{
			key.Secret: http.StatusOK, old.Secret: http.StatusOK, rotated.Text("secret"): http.StatusOK, off.Secret: http.StatusUnauthorized,
		} {
			Expect(t, moved.Call("GET", "/rest/users", "", Bearer(secret)), status, "")
		}
		if got := withoutUse(shown(moved)); got != withoutUse(want) {
			t.Errorf("from %s to %s, what is shown differs:\n%s\nwas\n%s", from, to, got, want)
		}
		return moved
	}
	onServer := move(g, "sqlite:./data/keys.db", "env:DATABASE_URL", Options{Config: onPostgres(address)})
	back := strings.Replace(caddyfile, "./data/keys.db", "./back/keys.db", 1)
	again := move(onServer, "env:DATABASE_URL", "sqlite:./back/keys.db", Options{Config: back})

	// What is not empty is left alone, and the source too.
	out, err := again.copyStore("env:DATABASE_URL", "sqlite:./back/keys.db", "DATABASE_URL="+address)
	if err == nil || !strings.Contains(out, "nothing was copied") {
		t.Errorf("copied onto a store in use: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(g.Dir, "data", "keys.db")); err != nil {
		t.Error(err)
	}
	if got := withoutUse(shown(again)); got != withoutUse(want) {
		t.Errorf("what is shown differs:\n%s\nwas\n%s", got, want)
	}
}

// withoutUse removes when keys were last used, which tests change by looking.
func withoutUse(text string) string {
	parts := strings.Split(text, `"last_used_at":`)
	for i := range parts[1:] {
		_, rest, _ := strings.Cut(parts[i+1], ",")
		parts[i+1] = rest
	}
	return strings.Join(parts, "")
}

func TestCopyingWarnsOfAGatewayThatRuns(t *testing.T) {
	g, _ := start(t)
	out, err := g.copyStore("sqlite:./data/keys.db", "sqlite:./copy.db")
	if err != nil || !strings.Contains(out, g.name()) {
		t.Errorf("the gateway is not named: %v\n%s", err, out)
	}
	out, err = g.copyStore("sqlite:./nope.db", "sqlite:./other.db")
	if err == nil || !strings.Contains(out, "there is no database ./nope.db") {
		t.Errorf("copied from nowhere: %v\n%s", err, out)
	}
}
