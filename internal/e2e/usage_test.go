package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// usage returns what the gateway tells of a key's usage.
func (g *Gateway) usage(id, query string) Answer {
	g.t.Helper()
	answer := g.Admin("GET", "/v1/keys/"+id+"/usage"+query, nil)
	Expect(g.t, answer, http.StatusOK, "")
	return answer
}

// uses writes down what a key was used for.
func (a Answer) uses() string {
	var list []string
	uses, _ := a.Field("uses").([]any)
	for _, item := range uses {
		u, _ := item.(map[string]any)
		list = append(list, fmt.Sprintf("%s/%s %s %s %v", u["api"], u["endpoint"], u["access"], u["outcome"], u["requests"]))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func TestWhatAKeyDidIsKnownAndOutlivesTheGateway(t *testing.T) {
	onEachStore(t, func(t *testing.T, start func(t *testing.T) (*Gateway, *Upstream)) {
		g, _ := start(t)
		key := g.Create(map[string]any{"owner": "team-7", "permissions": map[string]any{"mode": "read_only"}})
		for range 5 {
			Expect(t, g.Call("GET", "/rest/users/1", "", Bearer(key.Secret)), http.StatusOK, "")
		}
		Expect(t, g.Call("POST", "/v2/abc/run", "{}", Bearer(key.Secret)), http.StatusForbidden, "insufficient_access")
		Expect(t, g.Call("GET", "/v2/abc/run", "", Bearer(key.Secret)), http.StatusOK, "")
		const want = "rest/users read allowed 5, serverless/abc read allowed 1, serverless/abc write insufficient_access 1"
		answer := g.usage(key.ID, "")
		if got := answer.uses(); got != want {
			t.Errorf("at once: %s; want %s", got, want)
		}
		if got := answer.Field("lately.requests_24h"); got != 6.0 {
			t.Errorf("lately %v requests, want 6", got)
		}

		impact := g.Admin("POST", "/v1/keys/"+key.ID+"/impact", map[string]any{"permissions": Restricted(map[string]any{"rest": map[string]any{"access": "read"}})})
		if impact.Field("refused") != 1.0 || impact.Field("requests") != 6.0 {
			t.Errorf("impact %s", impact)
		}
		stdout, stderr, status := g.cli("", "keys", "suggest", key.ID)
		command := "keywarden keys edit " + key.ID + " --allow rest/users=read --allow serverless/abc=read\n"
		if status != 0 || stdout != command {
			t.Errorf("suggested with %d: %s%s", status, stdout, stderr)
		}
		if _, stderr, status := g.cli("", strings.Fields(command)[1:]...); status != 0 {
			t.Fatalf("the command that was suggested fails: %s", stderr)
		}
		Expect(t, g.Call("GET", "/rest/users/1", "", Bearer(key.Secret)), http.StatusOK, "")
		Expect(t, g.Call("GET", "/rest/orders/1", "", Bearer(key.Secret)), http.StatusForbidden, "insufficient_access")
		sums := g.Admin("GET", "/v1/usage?group_by=owner", nil)
		if data, _ := sums.Field("data").([]any); len(data) != 1 || data[0].(map[string]any)["name"] != "team-7" || data[0].(map[string]any)["requests"] != 9.0 {
			t.Errorf("sums by owner %s", sums)
		}
	})
}

func TestWhatWasCountedIsWrittenDownWhenTheGatewayStops(t *testing.T) {
	g, upstream := start(t)
	key := g.Create(nil)
	for range 7 {
		Expect(t, g.Call("GET", "/rest/users/1", "", Bearer(key.Secret)), http.StatusOK, "")
	}
	g.Stop()
	g = Start(t, Options{Config: caddyfile, Upstream: upstream.Address, Dir: g.Dir})
	if got := g.usage(key.ID, "?step=day").uses(); got != "rest/users read allowed 7" {
		t.Errorf("after a restart: %s", got)
	}
	stdout, _, status := g.cli("", "keys", "usage", key.ID, "--json")
	var answer map[string]any
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil || status != 0 || answer["requests"] != 7.0 {
		t.Errorf("keys usage ended with %d: %s", status, stdout)
	}
}

// What one gateway counts, another one on the store knows within the time of
// a flush, and both count the same keys.
func TestGatewaysAddUpWhatTheyCount(t *testing.T) {
	s := startShared(t, pgtest.Options{})
	a, b := s.gateway(nil), s.gateway(nil)
	key := a.Create(nil)
	for range 20 {
		Expect(t, a.Call("GET", "/rest/users/1", "", Bearer(key.Secret)), http.StatusOK, "")
		Expect(t, b.Call("GET", "/rest/users/1", "", Bearer(key.Secret)), http.StatusOK, "")
	}
	Eventually(t, 30*time.Second, "known on the one what the other has counted", func() bool {
		return a.usage(key.ID, "").uses() == "rest/users read allowed 40"
	})
	if got := b.usage(key.ID, "").uses(); got != "rest/users read allowed 40" {
		t.Errorf("the other one knows %s", got)
	}
}

func TestReportModeRefusesNobodyAndTellsWhatAKeyNeeds(t *testing.T) {
	upstream := NewUpstream(t)
	config := strings.Replace(caddyfile, "realm", "enforce off\n\t\treport_header\n\t\trealm", 1)
	g := Start(t, Options{Config: config, Upstream: upstream.Address})
	key := g.Create(map[string]any{"permissions": Restricted(map[string]any{"rest": map[string]any{"access": "restricted", "endpoints": map[string]any{"users": "read"}}})})
	for target, code := range map[string]string{"/rest/users": "insufficient_access", "/nowhere": "no_such_api", "/rest/a%2Fb": "ambiguous_request"} {
		answer := g.Call("POST", target, "{}", Bearer(key.Secret))
		Expect(t, answer, http.StatusOK, "")
		if got := answer.Header.Get("Keywarden-Would-Refuse"); got != code {
			t.Errorf("%s: told %q, want %q", target, got, code)
		}
	}
	raw := g.Raw("TRACE /rest/users HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
	if raw.Status != http.StatusOK || raw.Header.Get("Keywarden-Would-Refuse") != "method_not_allowed" {
		t.Errorf("TRACE answered %s", raw)
	}
	if got := g.usage(key.ID, "").uses(); got != "/ none would_no_such_api 1, rest/users write would_insufficient_access 1" {
		t.Errorf("counted %s", got)
	}
	stdout, _, _ := g.cli("", "keys", "suggest", key.ID)
	if stdout != "keywarden keys edit "+key.ID+" --allow rest/users=write\n" {
		t.Errorf("suggested %s", stdout)
	}
	if !strings.Contains(g.Output(), "EVERY request is let through") || !strings.Contains(g.Output(), "would refuse: insufficient_access") {
		t.Error("the log does not say so")
	}
	findings, status := g.doctor()
	says(t, findings, "note", "routes", "enforce off")
	if status != 0 {
		t.Errorf("the doctor ends with %d: %+v", status, findings)
	}
	g.WriteConfig(caddyfile)
	if out, err := g.Reload(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	Expect(t, g.Call("POST", "/rest/users", "{}", Bearer(key.Secret)), http.StatusForbidden, "insufficient_access")
}
