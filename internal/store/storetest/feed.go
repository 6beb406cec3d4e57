package storetest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// containsDigest looks for a digest in the forms that people write.
func containsDigest(text string, d keys.Digest) bool {
	return strings.Contains(text, string(d[:])) || strings.Contains(strings.ToLower(text), hex.EncodeToString(d[:])) ||
		strings.Contains(text, base64.StdEncoding.EncodeToString(d[:31])[:40])
}

var feedTests = map[string]func(*suite){
	"changes are numbered without gaps":                    feedNumbers,
	"changes come in pieces":                               feedPieces,
	"what OnCommit is told is what the feed says":          feedTold,
	"pruned changes are a lost place":                      feedPruned,
	"a place ahead of the store is lost":                   feedAhead,
	"waiting ends with a change of this process":           feedAwaitOwn,
	"waiting ends with a change of another handle":         feedAwaitOther,
	"waiting ends at once where there is a change":         feedAwaitPast,
	"waiting ends with its context":                        feedAwaitContext,
	"waiting ends when the store is closed":                feedAwaitClosed,
	"many may wait":                                        feedAwaitMany,
	"a use of a key is no change":                          feedTouch,
	"every digest is yielded, until the reader has enough": feedDigests,
	"foreign secrets are known of":                         feedForeign,
}

func (s *suite) changes(after keys.Seq, limit int) []keys.Change {
	s.Helper()
	changes, err := s.Changes(s.Context(), after, limit)
	s.must(err)
	return changes
}

func feedNumbers(s *suite) {
	seq, err := s.LastSeq(s.Context())
	s.must(err)
	s.equal("before the first change", seq, keys.Seq(0))
	s.equal("changes", s.changes(0, 10), []keys.Change{})
	k := s.created("a")
	_, err = s.Update(s.Context(), by(start), "key_none", keys.Guard{}, func(*keys.Key) error { return nil })
	s.mustBe(err, keys.ErrNoSuchKey)
	s.updated(k.Key.ID, start, func(*keys.Key) {})
	later := start.Add(1234 * time.Millisecond)
	s.must(s.Delete(s.Context(), by(later), k.Key.ID, keys.Guard{}))
	s.must(s.PutEndpoint(s.Context(), by(start), keys.Endpoint{API: "a", ID: "e"}))
	s.equal("changes", s.changes(0, 10), []keys.Change{
		{Seq: 1, At: start, Digests: []keys.Digest{k.Digest}}, {Seq: 2, At: later, Digests: []keys.Digest{k.Digest}}, {Seq: 3, At: start},
	})
	seq, err = s.LastSeq(s.Context())
	s.must(err)
	s.equal("last change", seq, keys.Seq(3))
}

func feedPieces(s *suite) {
	for range 7 {
		s.created("a")
	}
	all := s.changes(0, 100)
	s.equal("how many", len(all), 7)
	var got []keys.Change
	for {
		piece := s.changes(keys.Seq(len(got)), 3)
		if len(piece) == 0 {
			break
		}
		got = append(got, piece...)
	}
	s.equal("pieces", got, all)
	s.equal("no limit", s.changes(0, 0), []keys.Change{})
}

func feedTold(s *suite) {
	k := s.created("a")
	s.rotated(k.Key.ID, start, start.Add(time.Hour))
	s.updated(k.Key.ID, start, func(k *keys.Key) { k.Name = "b" })
	s.must(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{}))
	s.must(s.PutEndpoint(s.Context(), by(start), keys.Endpoint{API: "a", ID: "e"}))
	_, err := s.CreateFirstAdmin(s.Context(), by(start), newKey("b", admin))
	s.must(err)
	s.equal("told", s.told.all(), s.changes(0, 100))
	s.equal("how many", len(s.told.all()), 6)
}

func feedPruned(s *suite) {
	s.must(s.Close())
	s.Store = s.handle(keys.Options{MaxChanges: 5})
	for range 12 {
		s.created("a")
	}
	for after := range keys.Seq(13) {
		changes, err := s.Changes(s.Context(), after, 100)
		if after < 12-5 && err != nil { // kept or lost, but never with a gap
			s.mustBe(err, keys.ErrLostPlace)
			continue
		}
		s.must(err)
		s.equal("changes after", len(changes), 12-int(after))
	}
	_, err := s.Changes(s.Context(), 0, 1)
	s.mustBe(err, keys.ErrLostPlace)
}

func feedAhead(s *suite) {
	s.created("a")
	for _, after := range []keys.Seq{2, 100, 1 << 62} {
		_, err := s.Changes(s.Context(), after, 10)
		s.mustBe(err, keys.ErrLostPlace)
		s.must(s.AwaitChange(s.Context(), after)) // not for ever
	}
	_, err := s.Changes(s.Context(), -1, 10)
	s.mustBe(err, keys.ErrLostPlace)
}

// awaiting runs AwaitChange and returns its result.
func (s *suite) awaiting(ctx context.Context, after keys.Seq) <-chan error {
	done := make(chan error, 1)
	store := s.Store
	go func() { done <- store.AwaitChange(ctx, after) }()
	return done
}

// mustCome waits for the result; a second is ten times what a change may take.
func (s *suite) mustCome(done <-chan error) error {
	s.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		s.Fatal("still waiting")
		return nil
	}
}

func feedAwaitOwn(s *suite) {
	for after := range keys.Seq(20) {
		done := s.awaiting(s.Context(), after)
		s.created("a")
		s.must(s.mustCome(done))
	}
}

func feedAwaitOther(s *suite) {
	node := s.handle(keys.Options{})
	for after := range keys.Seq(10) {
		done := s.awaiting(s.Context(), after)
		s.must(node.Create(s.Context(), by(start), "create", []keys.New{newKey("a")}))
		s.must(s.mustCome(done))
		s.equal("changes", len(s.changes(after, 10)), 1)
	}
}

func feedAwaitPast(s *suite) {
	s.created("a")
	s.created("b")
	s.must(s.mustCome(s.awaiting(s.Context(), 0)))
	s.must(s.mustCome(s.awaiting(s.Context(), 1)))
}

func feedAwaitContext(s *suite) {
	ctx, cancel := context.WithCancel(s.Context())
	done := s.awaiting(ctx, 0)
	cancel()
	s.mustBe(s.mustCome(done), context.Canceled)
	ctx, cancel = context.WithTimeout(s.Context(), 20*time.Millisecond)
	defer cancel()
	s.mustBe(s.mustCome(s.awaiting(ctx, 0)), context.DeadlineExceeded)
}

func feedAwaitClosed(s *suite) {
	done := s.awaiting(s.Context(), 0)
	s.must(s.Close())
	if err := s.mustCome(done); err == nil {
		s.Fatal("a change in a closed store")
	}
}

func feedAwaitMany(s *suite) {
	var all []<-chan error
	for range 20 {
		all = append(all, s.awaiting(s.Context(), 0))
	}
	s.created("a")
	for _, done := range all {
		s.must(s.mustCome(done))
	}
}

func feedTouch(s *suite) {
	k := s.created("a")
	ctx, cancel := context.WithTimeout(s.Context(), 100*time.Millisecond)
	defer cancel()
	done := s.awaiting(ctx, 1)
	s.must(s.Touch(s.Context(), map[keys.ID]time.Time{k.Key.ID: start}))
	s.mustBe(s.mustCome(done), context.DeadlineExceeded)
}

func feedDigests(s *suite) {
	var want []keys.Digest
	for range 30 {
		want = append(want, s.created("a").Digest)
	}
	k := s.created("b")
	want = append(want, k.Digest, s.rotated(k.Key.ID, start, start.Add(time.Hour)))
	var got []keys.Digest
	s.must(s.Digests(s.Context(), func(d keys.Digest) bool { got = append(got, d); return true }))
	s.equalDigests(got, want...)
	n := 0
	s.must(s.Digests(s.Context(), func(keys.Digest) bool { n++; return n < 7 }))
	s.equal("yielded", n, 7)
	slices.Reverse(got)
}

func feedForeign(s *suite) {
	has := func() bool {
		s.Helper()
		foreign, err := s.HasForeign(s.Context())
		s.must(err)
		return foreign
	}
	s.created("a")
	s.equal("foreign", has(), false)
	k := newKey("b")
	k.Foreign = true
	s.create(k)
	s.equal("foreign", has(), true)
	s.equal("told", s.told.all()[1].Foreign, true)
	s.must(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{}))
	s.equal("foreign", has(), false)
}
