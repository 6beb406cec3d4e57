package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

var createTests = map[string]func(*suite){
	"a key comes back as it was created":              createRoundTrip,
	"a key that is not there is not got":              getUnknown,
	"several keys are one change":                     createSeveral,
	"no keys are no change":                           createNone,
	"a known secret is named, and nothing is stored":  createKnown,
	"a secret twice in one call is refused":           createTwice,
	"a secret in its grace is known":                  createKnownInGrace,
	"an id that exists is refused":                    createKnownID,
	"a deleted key's secret can be created again":     createAfterDelete,
	"the first admin is created once":                 createFirstAdmin,
	"a disabled admin is an admin":                    createFirstAdminDisabled,
	"of several first admins at once one is created":  createFirstAdminRace,
	"thousands of keys are created in one call":       createThousands,
	"what was created is there after opening again":   createReopened,
	"a second handle sees what the first has created": createSecondHandle,
}

func fullKey(s *suite) keys.New {
	set := restricted(s, permission.Grant{API: "graphql", Access: permission.Read},
		permission.Grant{API: "serverless", ByEndpoint: true, Endpoints: []permission.EndpointGrant{{Endpoint: "abc123", Access: permission.Write}}})
	return newKey("ci", set, owner("team-7"), func(k *keys.Key) {
		k.Admin, k.Enabled, k.Legacy = permission.Read, false, true
		k.ExpiresAt, k.CreatedBy, k.UpdatedAt = start.Add(time.Hour), keys.ConfigID, start.Add(time.Second)
		k.Metadata = map[string]string{"team": "7", "": "", "ü": "\"\\\x00\u2028<&>"}
		k.Sources = sources("203.0.113.7/32", "10.0.0.0/8", "2001:db8::/32", "::/0")
	})
}

// sources reads networks that are right.
func sources(list ...string) keys.Sources {
	s, _ := keys.ParseSources(list)
	return s
}

func createRoundTrip(s *suite) {
	k := fullKey(s)
	s.create(k)
	want := k.Key
	want.Version = 1
	s.equal("key", s.get(k.Key.ID), &want)
	page, next, err := s.List(s.Context(), keys.Query{Now: start})
	s.must(err)
	s.equal("listed key", page, []*keys.Key{&want})
	s.equal("next page", next, "")
}

func getUnknown(s *suite) {
	s.created("a")
	for _, id := range []keys.ID{"", "key_", keys.NewID(), keys.ConfigID, "' OR 1=1 --", "key_\x00"} {
		_, err := s.Get(s.Context(), id, start)
		s.mustBe(err, keys.ErrNoSuchKey)
	}
}

func createSeveral(s *suite) {
	ks := []keys.New{newKey("a"), newKey("b"), newKey("c")}
	ks[1].Foreign = true
	s.must(s.Create(s.Context(), by(start), "import", ks))
	s.equal("listed, newest first", s.list(keys.Query{}), []string{"c", "b", "a"})
	change := keys.Change{Seq: 1, At: start, Foreign: true, Digests: []keys.Digest{ks[0].Digest, ks[1].Digest, ks[2].Digest}}
	s.equal("told", s.told.all(), []keys.Change{change})
	changes, err := s.Changes(s.Context(), 0, 10)
	s.must(err)
	s.equal("changes", changes, []keys.Change{change})
	entries, _, err := s.Audit(s.Context(), keys.AuditQuery{})
	s.must(err)
	s.equal("audit entries", len(entries), 3)
}

func createNone(s *suite) {
	s.unchanged(func() { s.must(s.Create(s.Context(), by(start), "import", nil)) })
}

func (s *suite) mustBeKnown(err error, index int) {
	s.Helper()
	var known *keys.KnownSecretError
	if !errors.As(err, &known) || known.Index != index {
		s.Fatalf("error %v, want key %d's secret to be known", err, index)
	}
}

func createKnown(s *suite) {
	k := s.created("a")
	again := newKey("again")
	again.Digest = k.Digest
	s.unchanged(func() {
		s.mustBeKnown(s.Create(s.Context(), by(start), "import", []keys.New{newKey("b"), newKey("c"), again, newKey("d")}), 2)
	})
}

func createTwice(s *suite) {
	a, b := newKey("a"), newKey("b")
	b.Digest = a.Digest
	s.unchanged(func() { s.mustBeKnown(s.Create(s.Context(), by(start), "import", []keys.New{a, b}), 1) })
}

func createKnownInGrace(s *suite) {
	k := s.created("a")
	s.rotated(k.Key.ID, start, start.Add(time.Hour))
	again := newKey("b")
	again.Digest = k.Digest
	s.unchanged(func() { s.mustBeKnown(s.Create(s.Context(), by(start), "create", []keys.New{again}), 0) })
}

func createKnownID(s *suite) {
	k := s.created("a")
	again := newKey("b")
	again.Key.ID = k.Key.ID
	s.unchanged(func() {
		if err := s.Create(s.Context(), by(start), "create", []keys.New{newKey("c"), again}); err == nil {
			s.Fatal("two keys with one id")
		}
	})
}

func createAfterDelete(s *suite) {
	k := s.created("a")
	s.must(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{}))
	again := newKey("b")
	again.Digest = k.Digest
	s.create(again)
	got, err := s.Find(s.Context(), k.Digest)
	s.must(err)
	s.equal("id", got.ID(), again.Key.ID)
}

func createFirstAdmin(s *suite) {
	s.created("no admin", func(k *keys.Key) { k.Admin = permission.Read })
	has, err := s.HasAdmin(s.Context())
	s.must(err)
	s.equal("has an admin", has, false)
	first := newKey("bootstrap", admin)
	done, err := s.CreateFirstAdmin(s.Context(), keys.By{Actor: "bootstrap", At: start}, first)
	s.must(err)
	s.equal("created", done, true)
	has, err = s.HasAdmin(s.Context())
	s.must(err)
	s.equal("has an admin", has, true)
	s.unchanged(func() {
		done, err := s.CreateFirstAdmin(s.Context(), keys.By{Actor: "bootstrap", At: start}, newKey("second", admin))
		s.must(err)
		s.equal("created", done, false)
	})
	s.equal("listed", s.list(keys.Query{}), []string{"bootstrap", "no admin"})
	entries, _, err := s.Audit(s.Context(), keys.AuditQuery{Key: first.Key.ID})
	s.must(err)
	s.equal("audited", []any{len(entries), entries[0].Action, entries[0].Actor}, []any{1, "bootstrap", keys.ID("bootstrap")})
}

func createFirstAdminDisabled(s *suite) {
	s.created("off", admin, disabled, expires(start.Add(-time.Hour)))
	has, err := s.HasAdmin(s.Context())
	s.must(err)
	s.equal("has an admin", has, true)
	done, err := s.CreateFirstAdmin(s.Context(), by(start), newKey("b", admin))
	s.must(err)
	s.equal("created", done, false)
}

func createFirstAdminRace(s *suite) {
	var wg sync.WaitGroup
	var created atomic.Int32
	for range 4 {
		node := s.handle(keys.Options{})
		for range 4 {
			wg.Go(func() {
				done, err := node.CreateFirstAdmin(s.Context(), by(start), newKey("bootstrap", admin))
				if err != nil {
					s.Error(err)
				}
				if done {
					created.Add(1)
				}
			})
		}
	}
	wg.Wait()
	s.equal("created", created.Load(), int32(1))
	s.equal("listed", s.list(keys.Query{}), []string{"bootstrap"})
}

func createThousands(s *suite) {
	ks := make([]keys.New, 3000)
	for i := range ks {
		ks[i] = newKey("imported", owner("o"))
	}
	s.must(s.Create(s.Context(), by(start), "import", ks))
	counts, err := s.Counts(s.Context(), start)
	s.must(err)
	s.equal("counts", counts, keys.Counts{Active: 3000})
	for _, i := range []int{0, 1, 1499, 2999} {
		got, err := s.Find(s.Context(), ks[i].Digest)
		s.must(err)
		s.equal("id", got.ID(), ks[i].Key.ID)
	}
	changes, err := s.Changes(s.Context(), 0, 10)
	s.must(err)
	s.equal("digests told", []int{len(changes), len(changes[0].Digests)}, []int{1, 3000})
}

func createReopened(s *suite) {
	k := fullKey(s)
	s.create(k)
	s.must(s.PutEndpoint(s.Context(), by(start), keys.Endpoint{API: "a", ID: "e", Title: "E"}))
	before := s.state()
	s.reopen()
	s.equal("state", s.state(), before)
	_, err := s.Find(s.Context(), k.Digest)
	s.must(err)
	s.created("b")
	seq, err := s.LastSeq(s.Context())
	s.must(err)
	s.equal("last change", seq, keys.Seq(3))
}

func createSecondHandle(s *suite) {
	other := s.handle(keys.Options{})
	k := s.created("a")
	got, err := other.Find(s.Context(), k.Digest)
	s.must(err)
	s.equal("id", got.ID(), k.Key.ID)
	s.must(other.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{}))
	_, err = s.Find(s.Context(), k.Digest)
	s.mustBe(err, keys.ErrNoSuchKey)
}
