package caddymodule

import (
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// published returns what the site's node tells others, by another handle.
func (s *site) published() (nodes []keys.Node, apis string) {
	s.t.Helper()
	store, err := sqlite.Open(s.t.Context(), filepath.Join(s.dir, "keys.db"), keys.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	nodes, _, err = store.Nodes(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	declared, err := store.Declared(s.t.Context(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, d := range declared {
		names = append(names, d.Name)
	}
	return nodes, strings.Join(names, " ")
}

// eventually waits for what the node tells in the background.
func (s *site) eventually(what string, holds func() bool) {
	s.t.Helper()
	for began := time.Now(); !holds(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			s.t.Fatalf("10 s later it is not so that %s", what)
		}
	}
}

func (s *site) publishes(want string) {
	s.t.Helper()
	s.eventually("it declares "+want, func() bool { _, apis := s.published(); return apis == want })
}

func TestANodeTellsWhatItDeclaresAndLeaves(t *testing.T) {
	s := newSite(t, "", standard)
	s.publishes("graphql rest serverless")
	nodes, _ := s.published()
	if len(nodes) != 1 || nodes[0].Name != nodeName() || nodes[0].Version != version() || !nodes[0].Live() || nodes[0].Keeps != 5*time.Minute {
		t.Errorf("nodes %+v", nodes)
	}
	first := nodes[0].ID
	if err := s.load(withCache("stale_if_error 7m"), "api_key_auth {\napi billing {\ntitle Billing\npath /bills/*\n}\n}\n"); err != nil {
		t.Fatal(err)
	}
	s.publishes("billing")
	if nodes, _ := s.published(); len(nodes) != 1 || nodes[0].ID != first || nodes[0].Keeps != 7*time.Minute {
		t.Errorf("after a reload: nodes %+v, want the same one", nodes)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if nodes, apis := s.published(); len(nodes) != 0 || apis != "" {
		t.Errorf("after the end: nodes %+v, APIs %s", nodes, apis)
	}
}

func TestAFailedReloadDeclaresWhatRunsOn(t *testing.T) {
	s := newSite(t, "", standard)
	s.publishes("graphql rest serverless")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	t.Setenv("TAKEN", taken.Addr().String())
	for range 4 { // in either order of starting
		if err := s.load("", "api_key_auth {\napi billing {\npath /bills/*\n}\n}\n}\nhttp://{$TAKEN} {\nrespond taken"); err == nil {
			t.Fatal("a port that is taken was opened")
		}
		s.publishes("graphql rest serverless")
	}
}

func TestANodeTellsWhichChangesHoldOnIt(t *testing.T) {
	s := newSite(t, configured, withAdmin)
	for range 3 {
		s.key()
		s.eventually("the change holds", func() bool {
			var list struct {
				LastSeq int64 `json:"last_seq"`
				Data    []struct {
					AppliedSeq int64 `json:"applied_seq"`
					Lag        int64 `json:"lag"`
					Self, Live bool
				}
			}
			if err := json.Unmarshal([]byte(s.want(200, "GET", "/admin/v1/nodes", bearer(configuredKey))), &list); err != nil {
				t.Fatal(err)
			}
			if len(list.Data) != 1 || !list.Data[0].Self || !list.Data[0].Live {
				t.Fatalf("nodes %+v", list)
			}
			return list.Data[0].AppliedSeq == list.LastSeq && list.Data[0].Lag == 0 && list.LastSeq > 0
		})
	}
}

func TestANodeIsCalledWhatTheConfigurationSaysAndAReloadRenamesIt(t *testing.T) {
	s := newSite(t, "", standard)
	s.publishes("graphql rest serverless")
	named := func(name string) string {
		return "api_keys {\nstore sqlite {$DIR}/keys.db\nnode " + name + "\n}"
	}
	nodes, _ := s.published()
	t.Setenv("NODE_NAME", "eu-1.gw")
	if err := s.load(named("{env.NODE_NAME}"), standard); err != nil {
		t.Fatal(err)
	}
	s.eventually("it has its new name", func() bool {
		renamed, _ := s.published()
		return len(renamed) == 1 && renamed[0].Name == "eu-1.gw" && renamed[0].ID == nodes[0].ID
	})
	for _, bad := range []string{"{env.NO_SUCH_NAME}", `"gw 1"`, `"gw,2"`, strings.Repeat("x", 101), "`\"\\n\"`"} {
		if err := s.load(named(bad), standard); err == nil || !strings.Contains(err.Error(), "node") {
			t.Errorf("node %s: %v", bad, err)
		}
	}
}

func TestAStartFillsTheCache(t *testing.T) {
	s := newSite(t, "", standard)
	secrets := make([]string, 200)
	for i := range secrets {
		_, secrets[i] = s.key()
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.load(withCache("warm 200"), standard); err != nil {
		t.Fatal(err)
	}
	first := -1
	s.eventually("a key is there that nobody has asked for", func() bool {
		first = min(first+1, len(secrets)-1)
		return s.found(secrets[first]) == gate.Hit
	})
	if first == len(secrets)-1 {
		t.Error("each key was looked up")
	}
}
