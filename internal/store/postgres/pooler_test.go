package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
	"github.com/caddy-keywarden/keywarden/internal/store/storetest"
)

// Behind a pooler that gives each transaction another connection, all is as
// without.
func TestPostgresBehindAPoolerIsAStore(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{MaxConnections: 400})
	pooler := server.Pooler(t, "postgres")
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		address := pgtest.OfDatabase(pooler, pgtest.Name(server.Database(t)))
		return func(t testing.TB, o keys.Options) keys.Store {
			t.Helper()
			return openTest(t, address, Options{Options: o})
		}
	})
}

// It is recognized, or said in the address, in whichever way.
func TestAPoolerMayBeSaid(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	address := server.Pooler(t, pgtest.Name(server.Database(t)))
	for _, mode := range []string{"", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			said := address
			if mode != "" {
				said += "&default_query_exec_mode=" + mode
			}
			s := openTest(t, said, Options{})
			k := testKey("some é name")
			create(t, s, k, testKey("other"))
			for range 10 {
				if err := find(t, s, k.Digest); err != nil {
					t.Fatal(err)
				}
			}
			if found, err := s.FindMany(t.Context(), []keys.Digest{{}, k.Digest}); err != nil || len(found) != 1 || found[0].Digest != k.Digest {
				t.Errorf("of two secrets one is there: %d found, %v", len(found), err)
			}
			if _, err := s.Rotate(t.Context(), by(), k.Key.ID, keys.Guard{}, testKey("").Digest, "kw_new", time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			if err := s.Touch(t.Context(), map[keys.ID]time.Time{k.Key.ID: time.Now()}); err != nil {
				t.Fatal(err)
			}
			owner := ""
			for _, q := range []keys.Query{{}, {Text: "some é"}, {Text: "é"}, {Owner: &owner}, {API: "a"}, {Status: keys.Active}} {
				q.Now = time.Now()
				if page, _, err := s.List(t.Context(), q); err != nil || len(page) == 0 {
					t.Errorf("%+v: %d keys, %v", q, len(page), err)
				}
			}
			if err := s.Delete(t.Context(), by(), k.Key.ID, keys.Guard{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestChangesAreHeardOfBesideAPooler(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	direct := server.Database(t)
	address := server.Pooler(t, pgtest.Name(direct))
	for name, c := range map[string]struct {
		listen string
		hears  bool
		within time.Duration
	}{
		"by a direct address": {direct, true, 100 * time.Millisecond},
		"by looking":          {"", false, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			s, other := openTest(t, address, Options{Listen: c.listen}), openTest(t, address, Options{})
			if c.hears {
				eventually(t, soon, func() error { return hearing(s) })
			}
			after, err := s.LastSeq(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			late := 0
			for range 20 {
				seen := make(chan time.Time, 1)
				go func() {
					if err := s.AwaitChange(t.Context(), after); err != nil {
						t.Error(err)
					}
					seen <- time.Now()
				}()
				create(t, other, testKey("a"))
				committed := time.Now()
				if (<-seen).Sub(committed) > c.within {
					late++
				}
				after++
			}
			if late > 2 { // a machine that is busy with other tests may stop for a moment
				t.Errorf("%d of 20 changes were seen late", late)
			}
			if (s.news.hearing.Load() > 0) != c.hears {
				t.Errorf("it hears: %t", !c.hears)
			}
		})
	}
}

// No node is left with a transaction of another one's, whatever dies.
func TestAContextThatEndsBehindAPoolerLeavesNothing(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	s := openTest(t, server.Pooler(t, pgtest.Name(server.Database(t))), Options{})
	k := testKey("a")
	create(t, s, k)
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := s.Update(ctx, by(), k.Key.ID, keys.Guard{}, func(k *keys.Key) error { k.Name = "b"; cancel(); return nil })
		if err == nil {
			t.Fatal("an edit whose context had ended was stored")
		}
	}
	got, err := s.Update(t.Context(), by(), k.Key.ID, keys.Guard{}, func(k *keys.Key) error { k.Name = "c"; return nil })
	if err != nil || got.Version != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
}
