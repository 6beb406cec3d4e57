package cli

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// used adds requests of a key to the gateway's store.
func (g *gateway) used(t *testing.T, number int64, id string, n int64, api, endpoint string, access permission.Access, outcome string, at time.Time) {
	t.Helper()
	must(t, g.store.AddUsage(t.Context(), keys.UsageBatch{Writer: "test", Number: number, Used: []keys.Used{
		{Key: keys.ID(id), What: keys.What{API: api, Endpoint: endpoint, Access: access, Outcome: outcome}, N: n, LastAt: at},
	}}))
}

func TestUsageShowsWhatAKeyDid(t *testing.T) {
	g := newGateway(t)
	c := g.console(t)
	key := c.create("ci", "--all")
	now := time.Now()
	if r := c.ok("keys", "usage", key.ID); !strings.Contains(r.out, "Requests        0: 0 allowed, 0 refused") || !strings.Contains(r.err, "does not count usage") {
		t.Errorf("of nothing:\n%s%s", r.out, r.err)
	}
	g.used(t, 1, key.ID, 7, "rest", "users", permission.Read, "allowed", now.Add(-time.Minute))
	g.used(t, 2, key.ID, 2, "serverless", "\u202eabc", permission.Write, "insufficient_access", now.Add(-time.Minute))
	g.used(t, 3, key.ID, 1, "serverless", "/", permission.Read, "allowed", now.Add(-time.Minute))
	g.used(t, 4, key.ID, 100, "rest", "users", permission.Read, "allowed", now.Add(-20*24*time.Hour))
	r := c.ok("keys", "usage", key.ID)
	for _, want := range []string{
		"Requests        10: 8 allowed, 2 refused", "Allowed lately  8 in 24 hours, 8 in 7 days", "Last used       never",
		"API         ENDPOINT", "rest        users", `\u202eabc`, "(others)",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is missing in:\n%s", want, r.out)
		}
	}
	if r := c.ok("keys", "usage", key.ID, "--days", "30"); !strings.Contains(r.out, "110: 108 allowed") {
		t.Errorf("of 30 days:\n%s", r.out)
	}
	var answer admin.KeyUsage
	c.decode(c.ok("keys", "usage", key.ID, "--days=2", "--json").out, &answer)
	if answer.Requests != 10 || answer.Step != "hour" || len(answer.Series) != 49 {
		t.Errorf("%d requests by %s, %d buckets", answer.Requests, answer.Step, len(answer.Series))
	}
	c.fails(1, "keywarden keys list shows the ids", "keys", "usage", "key_x")
	for _, days := range []string{"0", "-1", "367", "x"} {
		c.fails(2, "days", "keys", "usage", key.ID, "--days="+days)
	}
}

func TestSuggestPrintsTheCommandThatDoesIt(t *testing.T) {
	g := newGateway(t)
	c := g.console(t)
	key := c.create("ci", "--all")
	now := time.Now()
	if r := c.ok("keys", "suggest", key.ID); r.out != "keywarden keys disable "+key.ID+"\n" {
		t.Errorf("of a key that did nothing: %s", r.out)
	}
	g.used(t, 1, key.ID, 7, "rest", "", permission.Read, "allowed", now)
	g.used(t, 2, key.ID, 2, "serverless", "a b'$(x)", permission.Write, "allowed", now)
	g.used(t, 3, key.ID, 1, "serverless", "abc", permission.Read, "allowed", now)
	r := c.ok("keys", "suggest", key.ID, "--days", "7")
	want := "keywarden keys edit " + key.ID + ` --allow rest=read --allow 'serverless/a b'\''$(x)=write' --allow serverless/abc=read` + "\n"
	if r.out != want {
		t.Errorf("printed\n%swant\n%s", r.out, want)
	}
	if !strings.Contains(r.err, "Has: all") || !strings.Contains(r.err, "serverless: wrote, in 2 of 3 requests for 2 endpoints") {
		t.Errorf("said %s", r.err)
	}
	// A shell takes the command apart as it was meant.
	args, err := exec.CommandContext(t.Context(), "sh", "-c", `keywarden() { shift; for a; do printf '%s\n' "$a"; done; }; `+r.out).Output()
	must(t, err)
	c.ok(append([]string{"keys"}, strings.Split(strings.TrimSpace(string(args)), "\n")...)...)
	if got := c.get(key.ID).Permissions.APIs["serverless"].Endpoints["a b'$(x)"]; got != "write" {
		t.Errorf("the key has %q", got)
	}
	if r := c.ok("keys", "suggest", key.ID); r.out != "" || !strings.Contains(r.err, "no more than it needs") {
		t.Errorf("of a key that fits: %s%s", r.out, r.err)
	}
	var answer admin.Suggestion
	c.decode(c.ok("keys", "suggest", key.ID, "--json").out, &answer)
	if answer.Days != 30 || answer.Smaller {
		t.Errorf("answered %+v", answer)
	}
	other := c.create("other", "--all")
	g.used(t, 4, other.ID, 2, "serverless", "\u202eabc", permission.Write, "allowed", now)
	c.fails(1, `serverless/\u202eabc=write; use --json`, "keys", "suggest", other.ID)
}

func TestUnusedKeysAreListedByAge(t *testing.T) {
	g := newGateway(t)
	c := g.console(t)
	key := c.create("ci", "--all")
	now := time.Now().UTC()
	if r := c.ok("keys", "list", "--unused-since", "1d"); r.out != "" || !strings.Contains(r.err, "No keys.") {
		t.Errorf("of a new key: %s%s", r.out, r.err)
	}
	for _, since := range []string{now.AddDate(0, 0, 1).Format(time.DateOnly), now.AddDate(0, 0, 2).Format(time.RFC3339)} {
		if r := c.ok("keys", "list", "--unused-since", since); !strings.Contains(r.out, key.ID) {
			t.Errorf("%s: %s", since, r.out)
		}
	}
	for _, since := range []string{"", "soon", "-3d", "2026-13-01"} {
		c.fails(2, "--unused-since", "keys", "list", "--unused-since="+since)
	}
}
