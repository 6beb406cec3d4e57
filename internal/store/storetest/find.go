package storetest

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

var findTests = map[string]func(*suite){
	"an unknown digest is no key":                   findUnknown,
	"a digest finds all that a decision needs":      findIdentity,
	"disabled and expired keys are found":           findDisabledAndExpired,
	"times are found to the millisecond":            findMilliseconds,
	"an edited key is found as edited":              findEdited,
	"what has ended in 1970 does not live for ever": findEpoch,
	"recent keys are those used or made last":       findRecent,
	"many digests are found at once":                findMany,
}

func findUnknown(s *suite) {
	s.created("a")
	for _, d := range []keys.Digest{{}, sha256.Sum256(nil), newDigest()} {
		_, err := s.Find(s.Context(), d)
		s.mustBe(err, keys.ErrNoSuchKey)
	}
}

func findIdentity(s *suite) {
	set := restricted(s, permission.Grant{API: "b", Access: permission.Read},
		permission.Grant{API: "a", ByEndpoint: true, Endpoints: []permission.EndpointGrant{{Endpoint: "z", Access: permission.Write}, {Endpoint: "e", Access: permission.None}}})
	k := s.created("ci", set, owner("team-7"), admin, expires(start.Add(time.Hour)))
	other := s.created("other")
	got, err := s.Find(s.Context(), k.Digest)
	s.must(err)
	s.equal("identity", got, keys.NewIdentity(k.Digest, keys.Names{ID: k.Key.ID, Name: "ci", Owner: "team-7", Prefix: "kw_ci"},
		&keys.Rights{Permissions: k.Key.Permissions, Admin: permission.Write, Enabled: true}, start.Add(time.Hour).UnixMilli()))
	got, err = s.Find(s.Context(), other.Digest)
	s.must(err)
	s.equal("identity of the other key", got, keys.NewIdentity(other.Digest, keys.Names{ID: other.Key.ID, Name: "other", Prefix: "kw_other"},
		&keys.Rights{Permissions: permission.Set{Mode: permission.All}, Enabled: true}, 0))
}

func findDisabledAndExpired(s *suite) {
	off := s.created("off", disabled)
	old := s.created("old", expires(start.Add(-time.Hour)))
	for k, want := range map[keys.Digest]keys.Status{off.Digest: keys.Disabled, old.Digest: keys.Expired} {
		got, err := s.Find(s.Context(), k)
		s.must(err)
		s.equal("status", got.Status(start.UnixMilli()), want)
	}
}

func findMilliseconds(s *suite) {
	at := start.Add(time.Millisecond + 999*time.Microsecond)
	k := s.created("a", expires(at))
	got, err := s.Find(s.Context(), k.Digest)
	s.must(err)
	s.equal("expiry", got.ExpiresAt, at.UnixMilli())
	s.equal("expiry", s.get(k.Key.ID).ExpiresAt, start.Add(time.Millisecond))
}

func findEdited(s *suite) {
	k := s.created("a")
	_, err := s.Update(s.Context(), by(start), k.Key.ID, keys.Guard{}, func(k *keys.Key) error {
		k.Name, k.Owner, k.Enabled, k.Permissions = "b", "o", false, permission.Set{Mode: permission.ReadOnly}
		return nil
	})
	s.must(err)
	got, err := s.Find(s.Context(), k.Digest)
	s.must(err)
	s.equal("identity", got, keys.NewIdentity(k.Digest, keys.Names{ID: k.Key.ID, Name: "b", Owner: "o", Prefix: "kw_a"},
		&keys.Rights{Permissions: permission.Set{Mode: permission.ReadOnly}}, 0))
}

func findMany(s *suite) {
	many := func(ds ...keys.Digest) map[keys.Digest]*keys.Identity {
		all, err := s.FindMany(s.Context(), ds)
		s.must(err)
		got := map[keys.Digest]*keys.Identity{}
		for _, id := range all {
			got[id.Digest] = id
		}
		s.equal("identities, each once", len(all), len(got))
		return got
	}
	s.equal("of none", len(many()), 0)
	s.equal("of unknown digests", len(many(newDigest(), newDigest())), 0)
	want := map[keys.Digest]*keys.Identity{}
	asked := []keys.Digest{newDigest(), {}, sha256.Sum256(nil)}
	for i := range 300 {
		k := s.created(fmt.Sprintf("k%d", i), owner("team-7"))
		if i%3 == 0 {
			continue // nobody asks for it
		}
		asked = append(asked, k.Digest)
		id, err := s.Find(s.Context(), k.Digest)
		s.must(err)
		want[k.Digest] = id
	}
	off := s.created("off", disabled)
	asked = append(asked, off.Digest)
	id, err := s.Find(s.Context(), off.Digest)
	s.must(err)
	want[off.Digest] = id
	s.equal("identities", many(asked...), want)
}

func findRecent(s *suite) {
	recent := func(limit int) map[keys.Digest]*keys.Identity {
		got := map[keys.Digest]*keys.Identity{}
		s.must(s.Recent(s.Context(), limit, func(id *keys.Identity) bool { got[id.Digest] = id; return true }))
		return got
	}
	s.equal("recent keys of an empty store", recent(5), map[keys.Digest]*keys.Identity{})
	limited := func(k *keys.Key) { k.Sources = sources("10.0.0.0/8", "::/0") }
	a, b, c, d := s.created("a", owner("o"), expires(start.Add(time.Hour)), limited), s.created("b"), s.created("c", disabled), s.created("d")
	s.must(s.Touch(s.Context(), map[keys.ID]time.Time{a.Key.ID: start.Add(time.Minute), c.Key.ID: start.Add(time.Second)}))
	for limit, want := range [][]keys.New{{}, {a}, {a, c}, {a, c, d}, {a, c, d, b}, {a, c, d, b}} {
		all := map[keys.Digest]*keys.Identity{}
		for _, k := range want {
			id, err := s.Find(s.Context(), k.Digest)
			s.must(err)
			all[k.Digest] = id
		}
		s.equal("recent keys", recent(limit), all)
	}
	s.equal("where the newest may be used from", recent(1)[a.Digest].Sources, a.Key.Sources)
	s.equal("recent keys of a limit below 0", recent(-1), map[keys.Digest]*keys.Identity{})
	// While a grace lasts, a key has two secrets.
	second := s.rotated(a.Key.ID, start, start.Add(time.Hour))
	s.equal("secrets", len(recent(1)), 2)
	s.equal("the old secret", recent(1)[a.Digest].EndsAt, start.Add(time.Hour).UnixMilli())
	s.equal("the new secret", recent(1)[second].EndsAt, int64(0))
	calls := 0
	s.must(s.Recent(s.Context(), 4, func(*keys.Identity) bool { calls++; return calls < 2 }))
	s.equal("calls until the reader had enough", calls, 2)
}

// An Identity says "never" by 0, which is a time as well.
func findEpoch(s *suite) {
	k := s.created("a", expires(time.UnixMilli(0)))
	got, err := s.Find(s.Context(), k.Digest)
	s.must(err)
	s.equal("status", got.Status(start.UnixMilli()), keys.Expired)
	s.equal("status", s.get(k.Key.ID).Status(start), keys.Expired)
}
