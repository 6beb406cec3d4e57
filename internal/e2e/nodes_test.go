package e2e

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// node is an entry of GET /v1/nodes.
type node struct {
	name       string
	self, live bool
	applied    float64
	lag        float64
}

func (g *Gateway) nodes() (all []node) {
	g.t.Helper()
	answer := g.Admin("GET", "/v1/nodes", nil)
	Expect(g.t, answer, http.StatusOK, "")
	list, _ := answer.Field("data").([]any)
	for _, item := range list {
		n, _ := item.(map[string]any)
		all = append(all, node{n["name"].(string), n["self"].(bool), n["live"].(bool), n["applied_seq"].(float64), n["lag"].(float64)})
	}
	return all
}

// name is what the gateway's node is called.
func (g *Gateway) name() string {
	g.t.Helper()
	for _, n := range g.nodes() {
		if n.self {
			return n.name
		}
	}
	g.t.Fatal("the gateway does not list itself")
	return ""
}

// settled waits until every node has applied every change.
func (g *Gateway) settled() {
	g.t.Helper()
	Eventually(g.t, propagation, "everything applied everywhere", func() bool {
		for _, n := range g.nodes() {
			if n.lag > 0 {
				return false
			}
		}
		return true
	})
}

// onEachPair runs a test with two gateways on one store, of each kind.
func onEachPair(t *testing.T, test func(t *testing.T, a, b *Gateway)) {
	t.Helper()
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			o := Options{Config: caddyfile, Upstream: NewUpstream(t).Address, Dir: t.TempDir()}
			if kind == "postgres" {
				o.Config = onPostgres(pgtest.Database(t))
			}
			a := Start(t, o)
			b := Start(t, o)
			b.AdminKey = a.AdminKey
			test(t, a, b)
		})
	}
}

func TestNodesSeeEachOtherComeAndGo(t *testing.T) { onEachPair(t, nodesSeeEachOtherComeAndGo) }

func nodesSeeEachOtherComeAndGo(t *testing.T, a, b *Gateway) {
	a.Create(nil)
	a.settled()
	for _, g := range []*Gateway{a, b} {
		all := g.nodes()
		if len(all) != 2 || all[0].self == all[1].self || !all[0].live || !all[1].live || all[0].applied == 0 || all[0].applied != all[1].applied {
			t.Errorf("the nodes are %+v", all)
		}
	}
	b.Stop()
	if all := a.nodes(); len(all) != 1 || !all[0].self {
		t.Errorf("after the other ended, the nodes are %+v", all)
	}
}

func TestADeletionThatWasWaitedForHoldsOnTheOtherNodeAtOnce(t *testing.T) {
	onEachPair(t, aDeletionThatWasWaitedForHoldsOnTheOtherNodeAtOnce)
}

func aDeletionThatWasWaitedForHoldsOnTheOtherNodeAtOnce(t *testing.T, a, b *Gateway) {
	slowest := time.Duration(0)
	for range 20 {
		key := a.Create(nil)
		Expect(t, b.Call("GET", "/rest/users", "", Bearer(key.Secret)), http.StatusOK, "")
		began := time.Now()
		answer := a.Admin("DELETE", "/v1/keys/"+key.ID, nil, Header{"Prefer", "wait=5"})
		slowest = max(slowest, time.Since(began))
		Expect(t, answer, http.StatusNoContent, "")
		if answer.Header.Get("Preference-Applied") != "wait=5" {
			t.Fatalf("the headers are %v", answer.Header)
		}
		Expect(t, b.Call("GET", "/rest/users", "", Bearer(key.Secret)), http.StatusUnauthorized, "unknown_key")
	}
	t.Logf("slowest of 20 deletions that waited: %s", slowest)
}

func TestAStoppedNodeIsNamedUntilItHasCaughtUp(t *testing.T) {
	onEachPair(t, aStoppedNodeIsNamedUntilItHasCaughtUp)
}

func aStoppedNodeIsNamedUntilItHasCaughtUp(t *testing.T, a, b *Gateway) {
	name := b.name()
	key := a.Create(nil)
	Expect(t, b.Call("GET", "/rest/users", "", Bearer(key.Secret)), http.StatusOK, "")
	a.settled()
	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	answer := a.Admin("PATCH", "/v1/keys/"+key.ID, map[string]any{"enabled": false}, Header{"Prefer", "wait=1"})
	Expect(t, answer, http.StatusOK, "")
	if took := time.Since(began); answer.Header.Get("Keywarden-Pending-Nodes") != name || answer.Header.Get("Preference-Applied") != "" || took < time.Second {
		t.Errorf("after %s the headers are %v, want %s as pending", took, answer.Header, name)
	}
	if err := b.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	Eventually(t, propagation, "refused on the node that goes on", func() bool {
		return b.Call("GET", "/rest/users", "", Bearer(key.Secret)).Text("code") == "disabled_key"
	})
	answer = a.Admin("DELETE", "/v1/keys/"+key.ID, nil, Header{"Prefer", "wait=5"})
	Expect(t, answer, http.StatusNoContent, "")
	if answer.Header.Get("Preference-Applied") != "wait=5" {
		t.Errorf("the headers are %v", answer.Header)
	}
}

func TestAKilledNodeIsNamedAndOneThatEndedInGoodOrderIsNot(t *testing.T) {
	onEachPair(t, aKilledNodeIsNamedAndOneThatEndedInGoodOrderIsNot)
}

func aKilledNodeIsNamedAndOneThatEndedInGoodOrderIsNot(t *testing.T, a, b *Gateway) {
	name := b.name()
	b.Kill()
	key := a.Create(nil)
	answer := a.Admin("POST", "/v1/keys/"+key.ID+"/rotate", nil, Header{"Prefer", "wait=1"})
	Expect(t, answer, http.StatusOK, "")
	if answer.Header.Get("Keywarden-Pending-Nodes") != name {
		t.Errorf("the headers are %v, want %s as pending", answer.Header, name)
	}
	text, err := os.ReadFile(a.Config)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(text), "http://") // the global options, with the store
	_, after, _ := strings.Cut(caddyfile, "http://")
	Start(t, Options{Config: before + "http://" + after, Dir: a.Dir}).Stop()
	answer = a.Admin("DELETE", "/v1/keys/"+key.ID, nil, Header{"Prefer", "wait=1"})
	if answer.Header.Get("Keywarden-Pending-Nodes") != name {
		t.Errorf("the headers are %v, want %s alone as pending", answer.Header, name)
	}
}

func TestANodeWithoutAPIsManagesThoseOfOthers(t *testing.T) {
	gateway, admin, found := strings.Cut(caddyfile, "http://localhost:2020")
	if !found {
		t.Fatal("the configuration has no admin API")
	}
	global, _, _ := strings.Cut(caddyfile, "http://localhost:8080")
	upstream := NewUpstream(t)
	dir := t.TempDir()
	a := Start(t, Options{Config: global + "http://localhost:2020" + admin, Dir: dir})
	fields := map[string]any{"permissions": Restricted(map[string]any{"rest": map[string]any{"access": "read"}})}
	Expect(t, a.Admin("POST", "/v1/keys", fields), http.StatusUnprocessableEntity, "invalid_request")

	b := Start(t, Options{Config: gateway, Upstream: upstream.Address, Dir: dir, NoAdmin: true})
	Eventually(t, propagation, "the other node's APIs listed", func() bool {
		apis, _ := a.Admin("GET", "/v1/apis", nil).Field("data").([]any)
		return len(apis) == 4 && apis[0].(map[string]any)["title"] == "GraphQL API"
	})
	key := a.Create(fields)
	Expect(t, b.Call("GET", "/rest/users", "", Bearer(key.Secret)), http.StatusOK, "")
	Expect(t, b.Call("POST", "/rest/users", "", Bearer(key.Secret)), http.StatusForbidden, "insufficient_access")
	if keys, _ := a.Admin("GET", "/v1/keys?api=rest", nil).Field("data").([]any); len(keys) != 1 {
		t.Errorf("%d keys have access to rest, want 1", len(keys))
	}
	b.Stop()
	if apis, _ := a.Admin("GET", "/v1/apis", nil).Field("data").([]any); len(apis) != 0 {
		t.Errorf("after the other ended, %d APIs are listed", len(apis))
	}
}
