package storetest

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

var updateTests = map[string]func(*suite){
	"every editable field is stored":                   updateEverything,
	"networks come and go":                             updateSources,
	"what may not be edited stays":                     updateNothingElse,
	"an edit that changes nothing is nothing":          updateNothing,
	"the error of an edit comes back, nothing changes": updateError,
	"a panic in an edit leaves the store usable":       updatePanic,
	"a key that is not there is not updated":           updateUnknown,
	"the version guards":                               updateVersion,
	"the edit sees the key as it is":                   updateSees,
	"what edit keeps does not change the store's key":  updateAliases,
	"a change tells all secrets of the key":            updateTellsAll,
	"an expiry comes and goes":                         updateExpiry,
	"an expired key is prolonged":                      updateProlonged,
}

func (s *suite) updated(id keys.ID, at time.Time, edit func(*keys.Key)) *keys.Key {
	s.Helper()
	k, err := s.Update(s.Context(), by(at), id, keys.Guard{}, func(k *keys.Key) error { edit(k); return nil })
	s.must(err)
	return k
}

func updateEverything(s *suite) {
	k := s.created("a")
	later := start.Add(time.Minute)
	set := restricted(s, permission.Grant{API: "a", ByEndpoint: true, Endpoints: []permission.EndpointGrant{{Endpoint: "e", Access: permission.Read}}})
	got := s.updated(k.Key.ID, later, func(k *keys.Key) {
		k.Name, k.Owner, k.Admin, k.Enabled = "b", "o", permission.Read, false
		k.ExpiresAt, k.Metadata = start.Add(time.Hour), map[string]string{"x": "y"}
		k.Sources = sources("192.0.2.0/24")
		set(k)
	})
	want := k.Key
	want.Name, want.Owner, want.Admin, want.Enabled = "b", "o", permission.Read, false
	want.ExpiresAt, want.Metadata = start.Add(time.Hour), map[string]string{"x": "y"}
	want.Sources = sources("192.0.2.0/24")
	set(&want)
	want.UpdatedAt, want.Version = later, 2
	s.equal("returned", got, &want)
	s.equal("stored", s.get(k.Key.ID), &want)
}

// A key's networks are a change of their own, which the look-up sees and the
// audit shows.
func updateSources(s *suite) {
	k := s.created("a")
	find := func() keys.Sources {
		got, err := s.Find(s.Context(), k.Digest)
		s.must(err)
		return got.Sources
	}
	s.equal("at first", find(), keys.Sources(""))
	for i, want := range []keys.Sources{sources("10.0.0.0/8"), sources("10.0.0.0/8", "::/0"), ""} {
		got := s.updated(k.Key.ID, start.Add(time.Duration(i)*time.Second), func(k *keys.Key) { k.Sources = want })
		s.equal("returned", got.Sources, want)
		s.equal("version", got.Version, int64(i+2))
		s.equal("found", find(), want)
	}
	entries, _, err := s.Audit(s.Context(), keys.AuditQuery{Key: k.Key.ID, Limit: 2})
	s.must(err)
	for i, want := range [][2]string{{"10.0.0.0/8 ::/0", ""}, {"10.0.0.0/8", "10.0.0.0/8 ::/0"}} {
		s.equal("action", entries[i].Action, "update")
		for j, text := range []json.RawMessage{entries[i].Before, entries[i].After} {
			var shown struct {
				Sources []string `json:"allowed_cidrs"`
			}
			s.must(json.Unmarshal(text, &shown))
			s.equal("shown in the audit", strings.Join(shown.Sources, " "), want[j])
		}
	}
}

func updateNothingElse(s *suite) {
	k := s.created("a")
	got := s.updated(k.Key.ID, start, func(k *keys.Key) {
		k.Name = "b"
		k.ID, k.Prefix, k.Legacy, k.CreatedBy, k.Version = "x", "x", true, "x", 99
		k.CreatedAt, k.UpdatedAt, k.LastUsedAt = time.Time{}, time.Time{}, start
		k.Rotation = &keys.Rotation{PreviousPrefix: "x"}
	})
	want := k.Key
	want.Name, want.Version = "b", 2
	s.equal("returned", got, &want)
	s.equal("stored", s.get(k.Key.ID), &want)
}

func updateNothing(s *suite) {
	k := fullKey(s)
	s.create(k)
	s.unchanged(func() {
		got := s.updated(k.Key.ID, start.Add(time.Minute), func(k *keys.Key) {
			k.Metadata = map[string]string{"ü": "\"\\\x00\u2028<&>", "team": "7", "": ""}
			k.ExpiresAt = k.ExpiresAt.In(time.FixedZone("x", 3600)).Add(time.Microsecond)
			k.Version, k.Prefix = 7, "x"
		})
		s.equal("version", got.Version, int64(1))
	})
	plain := s.created("b")
	s.unchanged(func() {
		s.updated(plain.Key.ID, start, func(k *keys.Key) { k.Metadata = map[string]string{} })
		s.updated(plain.Key.ID, start, func(k *keys.Key) { k.Metadata = nil })
	})
}

func updateError(s *suite) {
	k := s.created("a")
	refusal := errors.New("no")
	s.unchanged(func() {
		got, err := s.Update(s.Context(), by(start), k.Key.ID, keys.Guard{}, func(k *keys.Key) error { k.Name = "b"; return refusal })
		if got != nil || err != refusal { //nolint:errorlint // it is promised as it is
			s.Fatalf("got %v, %v", got, err)
		}
	})
}

func updatePanic(s *suite) {
	k := s.created("a")
	s.unchanged(func() {
		defer func() {
			if recover() == nil {
				s.Error("no panic")
			}
		}()
		_, _ = s.Update(s.Context(), by(start), k.Key.ID, keys.Guard{}, func(k *keys.Key) error { k.Name = "b"; panic("no") })
	})
	s.updated(k.Key.ID, start, func(k *keys.Key) { k.Name = "c" })
}

func updateUnknown(s *suite) {
	s.unchanged(func() {
		_, err := s.Update(s.Context(), by(start), keys.NewID(), keys.Guard{Version: 3, KeepAdmin: true}, func(*keys.Key) error {
			s.Error("edit was called")
			return nil
		})
		s.mustBe(err, keys.ErrNoSuchKey)
	})
}

func updateVersion(s *suite) {
	k := s.created("a")
	rename := func(version int64, name string) error {
		_, err := s.Update(s.Context(), by(start), k.Key.ID, keys.Guard{Version: version}, func(k *keys.Key) error { k.Name = name; return nil })
		return err
	}
	s.must(rename(1, "b"))
	s.unchanged(func() {
		for _, version := range []int64{1, 3, -1} {
			s.mustBe(rename(version, "c"), keys.ErrVersion)
		}
	})
	s.must(rename(2, "c"))
	s.equal("version", s.get(k.Key.ID).Version, int64(3))
}

func updateSees(s *suite) {
	k := fullKey(s)
	s.create(k)
	want := k.Key
	want.Version = 1
	s.updated(k.Key.ID, start, func(got *keys.Key) { s.equal("edit's key", got, &want) })
}

func updateAliases(s *suite) {
	k := fullKey(s)
	s.create(k)
	var kept *keys.Key
	got := s.updated(k.Key.ID, start, func(k *keys.Key) { k.Name = "b"; kept = k })
	kept.Name = "x"
	kept.Permissions.APIs[1].Endpoints[0].Access = permission.None
	s.equal("name", got.Name, "b")
	s.equal("access", s.get(k.Key.ID).Permissions.For("serverless", "abc123"), permission.Write)
}

func updateTellsAll(s *suite) {
	k := s.created("a")
	s.created("other")
	now := s.rotated(k.Key.ID, start, start.Add(time.Hour))
	s.updated(k.Key.ID, start, func(k *keys.Key) { k.Enabled = false })
	changes := s.told.all()
	s.equalDigests(changes[len(changes)-1].Digests, k.Digest, now)
}

func updateExpiry(s *suite) {
	k := s.created("a")
	at := start.Add(time.Hour)
	s.updated(k.Key.ID, start, func(k *keys.Key) { k.ExpiresAt = at })
	s.equal("expiry", s.get(k.Key.ID).ExpiresAt, at)
	s.updated(k.Key.ID, start, func(k *keys.Key) { k.ExpiresAt = time.Time{} })
	s.equal("expiry", s.get(k.Key.ID).ExpiresAt, time.Time{})
	got, err := s.Find(s.Context(), k.Digest)
	s.must(err)
	s.equal("found expiry", got.ExpiresAt, int64(0))
}

func updateProlonged(s *suite) {
	k := s.created("a", expires(start.Add(time.Hour)))
	later := start.Add(2 * time.Hour)
	s.created("b") // others' changes don't matter
	s.updated(k.Key.ID, later, func(k *keys.Key) { k.Name = "still expired" })
	s.equal("expired", s.list(keys.Query{Status: keys.Expired, Now: later}), []string{"still expired"})
	s.updated(k.Key.ID, later, func(k *keys.Key) { k.ExpiresAt = later.Add(time.Hour) })
	s.equal("expired", s.list(keys.Query{Status: keys.Expired, Now: later}), []string{})
	s.equal("active", s.list(keys.Query{Status: keys.Active, Now: later}), []string{"b", "still expired"})
}
