package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

var deleteTests = map[string]func(*suite){
	"a deleted key and its secrets are gone":          deleteAll,
	"a key that is not there is not deleted":          deleteUnknown,
	"the version guards":                              deleteVersion,
	"a deleted key is not found by text, API, status": deleteUnlisted,
	"a use does not bring a deleted key back":         deleteThenTouch,
}

func deleteAll(s *suite) {
	k, other := s.created("a", admin), s.created("b")
	second := s.rotated(k.Key.ID, start, start.Add(time.Hour))
	s.must(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{Version: 2}))
	s.mustBeGone(k.Digest, second)
	_, err := s.Get(s.Context(), k.Key.ID, start)
	s.mustBe(err, keys.ErrNoSuchKey)
	s.equalDigests(s.state().Digests, other.Digest)
	changes := s.told.all()
	s.equalDigests(changes[len(changes)-1].Digests, k.Digest, second)
	entries, _, err := s.Audit(s.Context(), keys.AuditQuery{Key: k.Key.ID})
	s.must(err)
	s.equal("audit", []any{len(entries), entries[0].Action, string(entries[0].After)}, []any{3, "delete", ""})
}

func deleteUnknown(s *suite) {
	k := s.created("a")
	s.must(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{}))
	s.unchanged(func() {
		s.mustBe(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{Version: 1, KeepAdmin: true}), keys.ErrNoSuchKey)
	})
}

func deleteVersion(s *suite) {
	k := s.created("a")
	s.unchanged(func() { s.mustBe(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{Version: 2}), keys.ErrVersion) })
}

func deleteUnlisted(s *suite) {
	k := s.created("findme", owner("o"))
	s.must(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{}))
	name := "o"
	for _, q := range []keys.Query{{}, {Text: "findme"}, {Text: "f"}, {API: "a"}, {Status: keys.Active}, {Owner: &name}} {
		s.equal("listed", s.list(q), []string{})
	}
	s.created("another")
	s.equal("found under the old name", s.list(keys.Query{Text: "findme"}), []string{})
}

func deleteThenTouch(s *suite) {
	k := s.created("a")
	s.must(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{}))
	s.unchanged(func() { s.must(s.Touch(s.Context(), map[keys.ID]time.Time{k.Key.ID: start})) })
}

var lastAdminTests = map[string]func(*suite){
	"the last admin key is kept":                lastAdminKept,
	"the guard is only asked where it is set":   lastAdminUnguarded,
	"who is no admin may go":                    lastAdminOther,
	"of two admins deleted at once one remains": lastAdminRace,
	"of two admins demoted at once one remains": lastAdminRaceOfEdits,
	"an admin key may be edited and rotated":    lastAdminEdited,
}

// losses are all the ways to lose an admin key.
func losses(s *suite, id keys.ID, g keys.Guard) map[string]func() error {
	edit := func(edit func(k *keys.Key)) func() error {
		return func() error {
			_, err := s.Update(s.Context(), by(start), id, g, func(k *keys.Key) error { edit(k); return nil })
			return err
		}
	}
	return map[string]func() error{
		"delete":  func() error { return s.Delete(s.Context(), by(start), id, g) },
		"disable": edit(func(k *keys.Key) { k.Enabled = false }),
		"demote":  edit(func(k *keys.Key) { k.Admin = permission.Read }),
		"expire":  edit(func(k *keys.Key) { k.ExpiresAt = start }),
	}
}

func lastAdminKept(s *suite) {
	// None of these is an admin key that works now.
	s.created("reads", func(k *keys.Key) { k.Admin = permission.Read })
	s.created("off", admin, disabled)
	s.created("old", admin, expires(start))
	last := s.created("last", admin, expires(start.Add(time.Millisecond)))
	for name, lose := range losses(s, last.Key.ID, keys.Guard{KeepAdmin: true}) {
		s.unchanged(func() {
			if err := lose(); !errors.Is(err, keys.ErrLastAdmin) {
				s.Errorf("%s: error %v", name, err)
			}
		})
	}
	s.created("second", admin)
	s.must(s.Delete(s.Context(), by(start), last.Key.ID, keys.Guard{KeepAdmin: true}))
}

func lastAdminUnguarded(s *suite) {
	last := s.created("last", admin)
	s.must(s.Delete(s.Context(), by(start), last.Key.ID, keys.Guard{}))
}

func lastAdminOther(s *suite) {
	off := s.created("off", admin, disabled)
	plain := s.created("plain")
	for _, k := range []keys.New{off, plain} {
		s.must(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{KeepAdmin: true}))
	}
}

func lastAdminEdited(s *suite) {
	last := s.created("last", admin)
	_, err := s.Update(s.Context(), by(start), last.Key.ID, keys.Guard{KeepAdmin: true}, func(k *keys.Key) error {
		k.Name, k.ExpiresAt = "renamed", start.Add(time.Hour)
		return nil
	})
	s.must(err)
	_, err = s.Rotate(s.Context(), by(start), last.Key.ID, keys.Guard{KeepAdmin: true}, newDigest(), "kw_new", start)
	s.must(err)
}

func lastAdminRace(s *suite) {
	race(s, func(node keys.Store, id keys.ID) error {
		return node.Delete(s.Context(), by(start), id, keys.Guard{KeepAdmin: true})
	})
}

func lastAdminRaceOfEdits(s *suite) {
	race(s, func(node keys.Store, id keys.ID) error {
		_, err := node.Update(s.Context(), by(start), id, keys.Guard{KeepAdmin: true}, func(k *keys.Key) error {
			k.Admin = permission.None
			return nil
		})
		return err
	})
}

// race lets two nodes lose one of the last two admins each, some times over.
func race(s *suite, lose func(node keys.Store, id keys.ID) error) {
	nodes := []keys.Store{s.handle(keys.Options{}), s.handle(keys.Options{})}
	remaining := s.created("first", admin)
	for range 20 {
		ids := []keys.ID{remaining.Key.ID, s.created("second", admin).Key.ID}
		var wg sync.WaitGroup
		var lost atomic.Int32
		for i, id := range ids {
			wg.Go(func() {
				switch err := lose(nodes[i], id); {
				case err == nil:
					lost.Add(1)
				case !errors.Is(err, keys.ErrLastAdmin):
					s.Error(err)
				}
			})
		}
		wg.Wait()
		s.equal("lost", lost.Load(), int32(1))
		for _, id := range ids {
			if k, err := s.Get(s.Context(), id, start); err == nil && k.IsAdmin(start) {
				remaining.Key.ID = id
			}
		}
	}
}
