package storetest

import (
	"slices"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

var rotateTests = map[string]func(*suite){
	"without grace the old secret is gone at once":        rotateAtOnce,
	"with grace both secrets work until it ends":          rotateWithGrace,
	"the grace shows until it ends, to the millisecond":   rotateShows,
	"a rotation ends an earlier grace at once":            rotateTwice,
	"a rotation without grace ends an earlier one":        rotateTwiceAtOnce,
	"a grace that has ended already is none":              rotatePastGrace,
	"a rotation makes an imported key one of ours":        rotateLegacy,
	"a known secret is refused":                           rotateKnown,
	"the version guards":                                  rotateVersion,
	"a key that is not there is not rotated":              rotateUnknown,
	"the feed tells old and new secrets":                  rotateFeed,
	"the audit shows both prefixes":                       rotateAudit,
	"an edit while in grace keeps the grace":              rotateThenUpdate,
	"long after its grace a secret leaves, others remain": rotateSweeps,
}

// rotated rotates and returns the new digest.
func (s *suite) rotated(id keys.ID, at, graceEnds time.Time) keys.Digest {
	s.Helper()
	d := newDigest()
	_, err := s.Rotate(s.Context(), by(at), id, keys.Guard{}, d, "kw_new", graceEnds)
	s.must(err)
	return d
}

func (s *suite) mustBeGone(digests ...keys.Digest) {
	s.Helper()
	for _, d := range digests {
		_, err := s.Find(s.Context(), d)
		s.mustBe(err, keys.ErrNoSuchKey)
	}
}

// equalDigests compares in any order.
func (s *suite) equalDigests(got []keys.Digest, want ...keys.Digest) {
	s.Helper()
	got = slices.Clone(got)
	for _, all := range [][]keys.Digest{got, want} {
		slices.SortFunc(all, func(a, b keys.Digest) int { return slices.Compare(a[:], b[:]) })
	}
	s.equal("digests", got, want)
}

func rotateAtOnce(s *suite) {
	k := s.created("a")
	later := start.Add(time.Minute)
	for _, ends := range []time.Time{later, start, {}} {
		before := s.get(k.Key.ID)
		old := k.Digest
		k.Digest = newDigest()
		got, err := s.Rotate(s.Context(), by(later), k.Key.ID, keys.Guard{}, k.Digest, "kw_b", ends)
		s.must(err)
		want := before
		want.Prefix, want.UpdatedAt, want.Version = "kw_b", later, before.Version+1
		s.equal("returned", got, want)
		s.equal("stored", s.get(k.Key.ID), want)
		s.mustBeGone(old)
		found, err := s.Find(s.Context(), k.Digest)
		s.must(err)
		s.equal("found", []any{found.ID(), found.Prefix(), found.EndsAt}, []any{k.Key.ID, "kw_b", int64(0)})
	}
}

func rotateWithGrace(s *suite) {
	k := s.created("a", restricted(s, permission.Grant{API: "a", Access: permission.Read}))
	ends := start.Add(time.Hour)
	now := s.rotated(k.Key.ID, start, ends)
	old, err := s.Find(s.Context(), k.Digest)
	s.must(err)
	s.equal("old secret", old, keys.NewIdentity(k.Digest, keys.Names{ID: k.Key.ID, Name: "a", Prefix: "kw_a"},
		&keys.Rights{Permissions: k.Key.Permissions, Enabled: true, EndsAt: ends.UnixMilli()}, 0))
	s.equal("status in the last millisecond", old.Status(ends.UnixMilli()-1), keys.Active)
	s.equal("status at the end", old.Status(ends.UnixMilli()), keys.Unknown)
	current, err := s.Find(s.Context(), now)
	s.must(err)
	s.equal("new secret", []any{current.Prefix(), current.EndsAt}, []any{"kw_new", int64(0)})
}

func rotateShows(s *suite) {
	k := s.created("a")
	ends := start.Add(time.Hour)
	s.rotated(k.Key.ID, start, ends)
	rotation := &keys.Rotation{PreviousPrefix: "kw_a", PreviousExpiresAt: ends}
	for at, want := range map[time.Time]*keys.Rotation{
		start: rotation, ends.Add(-time.Millisecond): rotation, ends: nil, ends.Add(time.Hour): nil,
	} {
		got, err := s.Get(s.Context(), k.Key.ID, at)
		s.must(err)
		s.equal("rotation at "+at.String(), got.Rotation, want)
		page, _, err := s.List(s.Context(), keys.Query{Now: at})
		s.must(err)
		s.equal("listed rotation at "+at.String(), page[0].Rotation, want)
	}
}

func rotateTwice(s *suite) {
	k := s.created("a")
	second := s.rotated(k.Key.ID, start, start.Add(time.Hour))
	third := newDigest()
	got, err := s.Rotate(s.Context(), by(start), k.Key.ID, keys.Guard{}, third, "kw_third", start.Add(time.Minute))
	s.must(err)
	s.equal("rotation", got.Rotation, &keys.Rotation{PreviousPrefix: "kw_new", PreviousExpiresAt: start.Add(time.Minute)})
	s.equal("stored", s.get(k.Key.ID), got)
	s.mustBeGone(k.Digest)
	s.equalDigests(s.state().Digests, second, third)
}

func rotateTwiceAtOnce(s *suite) {
	k := s.created("a")
	second := s.rotated(k.Key.ID, start, start.Add(time.Hour))
	third := s.rotated(k.Key.ID, start, start)
	s.mustBeGone(k.Digest, second)
	s.equalDigests(s.state().Digests, third)
	s.equal("rotation", s.get(k.Key.ID).Rotation, (*keys.Rotation)(nil))
}

func rotatePastGrace(s *suite) {
	k := s.created("a")
	s.rotated(k.Key.ID, start, start.Add(-time.Hour))
	s.mustBeGone(k.Digest)
}

func rotateLegacy(s *suite) {
	k := newKey("a", func(k *keys.Key) { k.Legacy = true })
	k.Foreign = true
	s.create(k)
	s.rotated(k.Key.ID, start, start)
	s.equal("legacy", s.get(k.Key.ID).Legacy, false)
	foreign, err := s.HasForeign(s.Context())
	s.must(err)
	s.equal("foreign", foreign, false)
}

func rotateKnown(s *suite) {
	k, other := s.created("a"), s.created("b")
	for _, known := range []keys.Digest{k.Digest, other.Digest} {
		for _, ends := range []time.Time{start, start.Add(time.Hour)} {
			s.unchanged(func() {
				_, err := s.Rotate(s.Context(), by(start), k.Key.ID, keys.Guard{}, known, "kw_new", ends)
				s.mustBeKnown(err, 0)
			})
		}
	}
}

func rotateVersion(s *suite) {
	k := s.created("a")
	s.unchanged(func() {
		_, err := s.Rotate(s.Context(), by(start), k.Key.ID, keys.Guard{Version: 2}, newDigest(), "kw_new", start)
		s.mustBe(err, keys.ErrVersion)
	})
	_, err := s.Rotate(s.Context(), by(start), k.Key.ID, keys.Guard{Version: 1, KeepAdmin: true}, newDigest(), "kw_new", start)
	s.must(err)
}

func rotateUnknown(s *suite) {
	s.unchanged(func() {
		_, err := s.Rotate(s.Context(), by(start), keys.NewID(), keys.Guard{}, newDigest(), "kw_new", start)
		s.mustBe(err, keys.ErrNoSuchKey)
	})
}

func rotateFeed(s *suite) {
	k := s.created("a")
	second := s.rotated(k.Key.ID, start, start.Add(time.Hour))
	third := s.rotated(k.Key.ID, start, start.Add(time.Hour))
	changes := s.told.all()
	s.equalDigests(changes[1].Digests, k.Digest, second)
	s.equalDigests(changes[2].Digests, k.Digest, second, third)
}

func rotateAudit(s *suite) {
	k := s.created("a")
	s.rotated(k.Key.ID, start, start)
	entries, _, err := s.Audit(s.Context(), keys.AuditQuery{Limit: 1})
	s.must(err)
	s.equal("action", entries[0].Action, "rotate")
	s.equal("before", fieldOf(s, entries[0].Before, "prefix"), any("kw_a"))
	s.equal("after", fieldOf(s, entries[0].After, "prefix"), any("kw_new"))
}

func rotateThenUpdate(s *suite) {
	k := s.created("a")
	ends := start.Add(time.Hour)
	s.rotated(k.Key.ID, start, ends)
	got := s.updated(k.Key.ID, start, func(k *keys.Key) { k.Name = "b" })
	s.equal("rotation", got.Rotation, &keys.Rotation{PreviousPrefix: "kw_a", PreviousExpiresAt: ends})
	s.equal("stored", s.get(k.Key.ID), got)
}

func rotateSweeps(s *suite) {
	a, b := s.created("a"), s.created("b")
	newA := s.rotated(a.Key.ID, start, start.Add(time.Minute))
	newB := s.rotated(b.Key.ID, start.Add(48*time.Hour), start.Add(49*time.Hour))
	for _, d := range []keys.Digest{newA, b.Digest, newB} {
		_, err := s.Find(s.Context(), d)
		s.must(err)
	}
	// Kept or not, the old one opens nothing.
	if old, err := s.Find(s.Context(), a.Digest); err == nil && old.Status(start.Add(48*time.Hour).UnixMilli()) != keys.Unknown {
		s.Fatal("a secret works past its grace")
	}
}
