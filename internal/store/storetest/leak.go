package storetest

import (
	"encoding/json"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

var leakTests = map[string]func(*suite){
	"a current secret disables its key":              leakCurrent,
	"an earlier secret ends, the current one works":  leakEarlier,
	"of a rotated key the current one disables both": leakRotated,
	"the last admin key is disabled":                 leakLastAdmin,
	"twice is once":                                  leakTwice,
	"a secret of none, or past its grace, is none's": leakUnknown,
}

var foundAt = keys.FoundAt{Source: "github", URL: "https://example.com/'\"\n"}

func (s *suite) leaked(d keys.Digest, at time.Time) (*keys.Key, bool) {
	s.Helper()
	key, ended, err := s.Leaked(s.Context(), by(at), d, foundAt)
	s.must(err)
	return key, ended
}

// lastAudit returns the newest entry, and what was found in it.
func (s *suite) lastAudit() (keys.AuditEntry, map[string]string) {
	s.Helper()
	entries, _, err := s.Audit(s.Context(), keys.AuditQuery{Limit: 1})
	s.must(err)
	var after struct {
		Leak map[string]string `json:"leak"`
	}
	s.must(json.Unmarshal(entries[0].After, &after))
	return entries[0], after.Leak
}

func leakCurrent(s *suite) {
	k := s.created("a")
	later := start.Add(time.Minute)
	key, ended := s.leaked(k.Digest, later)
	want := k.Key
	want.Enabled, want.UpdatedAt, want.Version = false, later, 2
	s.equal("returned", []any{key, ended}, []any{&want, true})
	s.equal("stored", s.get(k.Key.ID), &want)
	id, err := s.Find(s.Context(), k.Digest)
	s.must(err)
	s.equal("the look-up's enabled", id.Enabled, false)
	s.equal("listed as disabled", s.list(keys.Query{Status: keys.Disabled}), []string{"a"})
	changes := s.told.all()
	s.equalDigests(changes[len(changes)-1].Digests, k.Digest)
	entry, found := s.lastAudit()
	s.equal("audit", []any{entry.Action, entry.Key, entry.Actor, entry.IP}, []any{"leak", k.Key.ID, by(later).Actor, by(later).IP})
	s.equal("found", found, map[string]string{"prefix": k.Key.Prefix, "source": foundAt.Source, "url": foundAt.URL})
	s.updated(k.Key.ID, later, func(k *keys.Key) { k.Enabled = true })
	s.equal("enabled again", s.get(k.Key.ID).Enabled, true)
}

func leakEarlier(s *suite) {
	k := s.created("a")
	second := s.rotated(k.Key.ID, start, start.Add(time.Hour))
	later := start.Add(time.Minute)
	key, ended := s.leaked(k.Digest, later)
	s.equal("ended", []any{ended, key.Enabled, key.Rotation, key.Version}, []any{true, true, (*keys.Rotation)(nil), int64(3)})
	s.equal("stored", s.get(k.Key.ID), key)
	s.mustBeGone(k.Digest)
	_, err := s.Find(s.Context(), second)
	s.must(err)
	changes := s.told.all()
	s.equalDigests(changes[len(changes)-1].Digests, k.Digest, second)
	_, found := s.lastAudit()
	s.equal("the prefix is that of what was found", found["prefix"], k.Key.Prefix)
}

func leakRotated(s *suite) {
	k := s.created("a")
	second := s.rotated(k.Key.ID, start, start.Add(time.Hour))
	key, ended := s.leaked(second, start.Add(time.Minute))
	s.equal("ended", []any{ended, key.Enabled}, []any{true, false})
	for _, d := range []keys.Digest{k.Digest, second} {
		id, err := s.Find(s.Context(), d)
		s.must(err)
		s.equal("enabled", id.Enabled, false)
	}
	// The earlier one leaks as well: its grace must not outlive the next enabling.
	_, ended = s.leaked(k.Digest, start.Add(2*time.Minute))
	s.equal("the earlier one ended", ended, true)
	s.mustBeGone(k.Digest)
}

func leakLastAdmin(s *suite) {
	k := s.created("a", admin)
	key, ended := s.leaked(k.Digest, start)
	s.equal("ended", []any{ended, key.Enabled}, []any{true, false})
}

func leakTwice(s *suite) {
	k := s.created("a")
	s.leaked(k.Digest, start)
	s.unchanged(func() {
		key, ended := s.leaked(k.Digest, start.Add(time.Minute))
		s.equal("the second time", []any{key.ID, ended}, []any{k.Key.ID, false})
	})
}

func leakUnknown(s *suite) {
	k := s.created("a")
	ends := start.Add(time.Minute)
	s.rotated(k.Key.ID, start, ends)
	s.unchanged(func() {
		for _, d := range []keys.Digest{newDigest(), k.Digest} {
			_, _, err := s.Leaked(s.Context(), by(ends), d, foundAt)
			s.mustBe(err, keys.ErrNoSuchKey)
		}
	})
}
