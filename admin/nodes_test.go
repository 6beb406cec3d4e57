package admin_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/fleet"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// newFleetSite is a site that is a node, named self.
func newFleetSite(t *testing.T) (*site, *fleet.Member) {
	t.Helper()
	var self *fleet.Member
	s := newSite(t, func(o *admin.Options) {
		self = fleet.New(fleet.Options{Store: o.Store, Name: "self", Version: "v1.2.3", Keeps: time.Hour})
		o.Fleet = self
	})
	if err := self.Tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, self
}

// node puts another node beside the site's.
func (s *site) node(name string, lease time.Duration, apis ...keys.Declared) keys.Node {
	s.t.Helper()
	n := keys.Node{
		ID: "node_" + name, Name: name, Version: "v1.2.4", StartedAt: theTime, Lease: lease, Keeps: 2 * time.Hour,
		Skew: -6 * time.Second,
	}
	if _, err := s.store.PutNode(s.t.Context(), n, apis); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// catchUp makes the node apply all changes.
func (s *site) catchUp(id string) {
	s.t.Helper()
	seq, err := s.store.LastSeq(s.t.Context())
	if err == nil {
		_, err = s.store.Beat(s.t.Context(), id, keys.Pulse{Applied: seq})
	}
	if err != nil {
		s.t.Error(err)
	}
}

func TestNodesAreListedWithHowFarTheyAre(t *testing.T) {
	s, self := newFleetSite(t)
	s.node("b", time.Hour)
	s.node("c", -time.Hour)
	s.create(`{"permissions": {"mode": "all"}}`)
	answer := s.do("GET", "/v1/nodes", "").want(200)
	var names []string
	for _, item := range answer.tree["data"].([]any) {
		n := item.(map[string]any)
		names = append(names, n["name"].(string))
		if n["self"] != (n["id"] == self.ID()) || n["live"] != (n["name"] != "c") || n["lag"] != 2.0 || n["applied_seq"] != 0.0 {
			t.Errorf("node %v", n)
		}
		if n["name"] == "b" && (n["clock_skew_ms"] != -6000.0 || n["version"] != "v1.2.4" || n["started_at"] != "2026-01-02T03:04:05.678Z") {
			t.Errorf("node %v", n)
		}
	}
	if diff := cmp.Diff([]string{"b", "c", "self"}, names); diff != "" {
		t.Errorf("nodes differ (-want +got):\n%s", diff)
	}
	if answer.tree["last_seq"] != 2.0 {
		t.Errorf("last_seq is %v", answer.tree["last_seq"])
	}
	s.do("GET", "/v1/nodes?x=1", "").problem(422, "invalid_request")
	s.do("GET", "/v1/nodes", "", "Authorization: ").problem(401, "missing_key")
}

// changes are the calls that wait, each of a key of its own.
var changes = []struct {
	name, method, path, body string
	status                   int
}{
	{"delete", "DELETE", "", "", 204},
	{"patch", "PATCH", "", `{"enabled": false}`, 200},
	{"patch that changes nothing", "PATCH", "", `{"enabled": true}`, 200},
	{"rotate", "POST", "/rotate", "", 200},
}

func TestAChangeWaitsUntilItHoldsOnEveryNode(t *testing.T) {
	s, _ := newFleetSite(t)
	b := s.node("b", time.Hour)
	for _, c := range changes {
		path := s.create(`{"permissions": {"mode": "all"}}`).header.Get("Location")
		answered := make(chan response)
		go func() { answered <- s.do(c.method, path+c.path, c.body, "Prefer: wait=20") }()
		// The change is made before the answer comes.
		for s.do("GET", path, "").header.Get("ETag") == `"1"` && c.name != "patch that changes nothing" {
			<-time.After(time.Millisecond)
		}
		select {
		case answer := <-answered:
			t.Errorf("%s: answered %d with %v while b is behind", c.name, answer.status, answer.header)
		case <-time.After(50 * time.Millisecond):
			s.catchUp(b.ID)
			answer := (<-answered).want(c.status)
			if answer.header.Get("Preference-Applied") != "wait=20" || answer.header.Get("Keywarden-Pending-Nodes") != "" {
				t.Errorf("%s: the headers are %v", c.name, answer.header)
			}
		}
	}
}

func TestAnAnswerNamesTheNodesThatAreBehind(t *testing.T) {
	s, _ := newFleetSite(t)
	s.node("b", time.Hour)
	c := s.node("c", time.Hour)
	s.node("silent", -time.Hour)
	for _, change := range changes {
		path := s.create(`{"permissions": {"mode": "all"}}`).header.Get("Location")
		answer := s.do(change.method, path+change.path, change.body, "Prefer: respond-async, wait=1").want(change.status)
		if answer.header.Get("Keywarden-Pending-Nodes") != "b, c, silent" || answer.header.Get("Preference-Applied") != "" {
			t.Errorf("%s: the headers are %v", change.name, answer.header)
		}
	}
	// Who is silent is not waited for.
	s.catchUp("node_b")
	s.catchUp(c.ID)
	began := time.Now()
	path := s.create(`{"permissions": {"mode": "all"}}`).header.Get("Location")
	for _, id := range []string{"node_b", c.ID} {
		if err := s.store.DropNode(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	answer := s.do("DELETE", path, "", "Prefer: wait=20").want(204)
	if took := time.Since(began); took > 10*time.Second || answer.header.Get("Keywarden-Pending-Nodes") != "silent" {
		t.Errorf("after %s the headers are %v", took, answer.header)
	}
}

func TestWithoutPreferNobodyIsWaitedFor(t *testing.T) {
	s, _ := newFleetSite(t)
	s.node("b", time.Hour)
	for _, prefer := range []string{"", "Prefer: wait=0", "Prefer: wait", "Prefer: wait=soon", "Prefer: return=minimal", `Prefer: x="wait=9"`} {
		path := s.create(`{"permissions": {"mode": "all"}}`).header.Get("Location")
		headers := []string{prefer}
		if prefer == "" {
			headers = nil
		}
		answer := s.do("DELETE", path, "", headers...).want(204)
		if answer.header.Get("Preference-Applied") != "" || answer.header.Get("Keywarden-Pending-Nodes") != "" {
			t.Errorf("%q: the headers are %v", prefer, answer.header)
		}
	}
	path := s.create(`{"permissions": {"mode": "all"}}`).header.Get("Location")
	answer := s.do("DELETE", path, "", `Prefer: wait=20`, `If-Match: "9"`).problem(412, "precondition_failed")
	if answer.header.Get("Keywarden-Pending-Nodes") != "" {
		t.Error("a change that was not made was waited for")
	}
}

// unknowing is a fleet of which nothing is known.
type unknowing struct{ *fleet.Member }

func (unknowing) Await(context.Context) ([]keys.Node, error) {
	return nil, errors.New("the store is down")
}

func TestAChangeIsMadeEvenIfNothingIsKnownOfOtherNodes(t *testing.T) {
	s := newSite(t, func(o *admin.Options) {
		o.Fleet = unknowing{fleet.New(fleet.Options{Store: o.Store})}
	})
	path := s.create(`{"permissions": {"mode": "all"}}`).header.Get("Location")
	answer := s.do("DELETE", path, "", "Prefer: wait=1").want(204)
	if answer.header.Get("Keywarden-Pending-Nodes") != "*" || answer.header.Get("Preference-Applied") != "" {
		t.Errorf("the headers are %v", answer.header)
	}
	s.do("GET", path, "").problem(404, "no_such_key")
}

func TestWhatOtherNodesDeclareCanBeListedGrantedAndRegistered(t *testing.T) {
	s, self := newFleetSite(t)
	s.do("PUT", "/v1/apis/billing/endpoints/e", `{"title": "E"}`).problem(404, "no_such_api")
	s.do("POST", "/v1/keys", `{"permissions": {"mode": "restricted", "apis": {"billing": {"access": "read"}}}}`).problem(422, "invalid_request")
	s.do("GET", "/v1/keys?api=billing", "").problem(422, "invalid_request")

	s.node("b", time.Hour,
		keys.Declared{Name: "billing", Title: "Billing", Patterns: []string{"/bills/*"}, Endpoints: []string{"b"}},
		keys.Declared{Name: "rest", Title: "Their REST", Patterns: []string{"/rest/*", "/more"}, Endpoints: []string{"orders"}})
	s.node("c", -time.Hour, keys.Declared{Name: "billing", Title: "Bills", Patterns: []string{"/bills/*"}, Endpoints: []string{"a"}})
	self.Declare("gw-1", []keys.Declared{{Name: "former"}}, time.Hour) // what this node declared before a reload
	if err := self.Tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.do("PUT", "/v1/apis/billing/endpoints/e", `{"title": "E"}`).want(200)
	id := s.create(`{"permissions": {"mode": "restricted", "apis": {"billing": {"access": "read"}}}}`).get("id")
	s.do("PATCH", "/v1/keys/"+id, `{"permissions": {"mode": "restricted", "apis": {"billing": {"access": "write"}}}}`).want(200)
	s.do("POST", "/v1/keys/import", `{"keys": [{"permissions": {"mode": "restricted", "apis": {"billing": {"access": "write"}}}, "secret": "`+foreign+`"}]}`).want(201)
	if got := s.do("GET", "/v1/keys?api=billing", "").want(200).tree["data"].([]any); len(got) != 2 {
		t.Errorf("%d keys have access, want 2", len(got))
	}
	s.do("POST", "/v1/keys", `{"permissions": {"mode": "restricted", "apis": {"former": {"access": "read"}}}}`).problem(422, "invalid_request")

	byName := map[string]any{}
	var order []string
	for _, item := range s.do("GET", "/v1/apis", "").want(200).tree["data"].([]any) {
		api := item.(map[string]any)
		order = append(order, api["name"].(string))
		byName[api["name"].(string)] = api
	}
	if diff := cmp.Diff([]string{"billing", "graphql", "rest", "serverless"}, order); diff != "" {
		t.Errorf("APIs differ (-want +got):\n%s", diff)
	}
	endpoint := func(id, title string) any { return map[string]any{"id": id, "title": title} }
	for name, want := range map[string]any{
		"billing": map[string]any{
			"name": "billing", "title": "Billing", "patterns": []any{"/bills/*"},
			"endpoints": []any{endpoint("a", ""), endpoint("b", ""), endpoint("e", "E")},
		},
		"rest": map[string]any{
			"name": "rest", "title": "Their REST", "patterns": []any{"/rest/*", "/rest/users", "/rest/users/*", "/more"},
			"endpoints": []any{endpoint("orders", ""), endpoint("users", "")},
		},
	} {
		if diff := cmp.Diff(want, byName[name]); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", name, diff)
		}
	}
}

// blind is a real store that can't tell what other nodes declare.
type blind struct{ keys.Store }

func (blind) Declared(context.Context, string) ([]keys.Declared, error) {
	return nil, errors.New("the store is down")
}

func TestAnAPIIsNotCalledUnknownWhileOtherNodesCanNotBeAsked(t *testing.T) {
	s := newSite(t, func(o *admin.Options) { o.Store = blind{o.Store} })
	s.do("POST", "/v1/keys", `{"permissions": {"mode": "restricted", "apis": {"billing": {"access": "read"}}}}`).problem(503, "store_unavailable")
	s.do("PUT", "/v1/apis/billing/endpoints/e", `{"title": "E"}`).problem(503, "store_unavailable")
	s.do("GET", "/v1/keys?api=billing", "").problem(503, "store_unavailable")
	s.do("GET", "/v1/apis", "").problem(503, "store_unavailable")
	// What this node declares itself needs nobody else.
	s.create(`{"permissions": {"mode": "restricted", "apis": {"rest": {"access": "read"}}}}`)
}
