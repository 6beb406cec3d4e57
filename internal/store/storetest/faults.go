package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

var faultTests = map[string]func(*suite){
	"a context that has ended changes nothing":     faultContext,
	"a context that ends in an edit undoes it":     faultContextInEdit,
	"a change waits no longer than its context":    faultDeadline,
	"a closed store fails, and says so":            faultClosed,
	"closing twice does no harm":                   faultClosedTwice,
	"hostile text comes back as it went":           faultText,
	"text with NUL is kept whole or refused":       faultNUL,
	"text that is not UTF-8 is harmless":           faultNotUTF8,
	"an open store can be asked":                   func(s *suite) { s.must(s.Ping(s.Context())) },
	"a database of one key after many come and go": faultChurn,
}

// changing are all methods that change something, called with ctx.
func changing(s *suite, ctx context.Context, k keys.New) map[string]func() error {
	return map[string]func() error{
		"Create": func() error { return s.Create(ctx, by(start), "create", []keys.New{newKey("x")}) },
		"CreateFirstAdmin": func() error {
			_, err := s.CreateFirstAdmin(ctx, by(start), newKey("x", admin))
			return err
		},
		"Update": func() error {
			_, err := s.Update(ctx, by(start), k.Key.ID, keys.Guard{}, func(k *keys.Key) error { k.Name = "x"; return nil })
			return err
		},
		"Rotate": func() error {
			_, err := s.Rotate(ctx, by(start), k.Key.ID, keys.Guard{}, newDigest(), "x", start)
			return err
		},
		"Delete":         func() error { return s.Delete(ctx, by(start), k.Key.ID, keys.Guard{}) },
		"PutEndpoint":    func() error { return s.PutEndpoint(ctx, by(start), keys.Endpoint{API: "a", ID: "x"}) },
		"DeleteEndpoint": func() error { return s.DeleteEndpoint(ctx, by(start), "a", "e") },
		"PutNode":        func() error { _, err := s.PutNode(ctx, newNode("a"), nil); return err },
		"Beat":           func() error { _, err := s.Beat(ctx, "node_a", keys.Pulse{}); return err },
		"DropNode":       func() error { return s.DropNode(ctx, "node_a") },
		"PruneNodes":     func() error { return s.PruneNodes(ctx) },
		"AddUsage": func() error {
			return s.AddUsage(ctx, keys.UsageBatch{Writer: "x", Number: 1, Used: []keys.Used{allowed(k.Key.ID, 1, start)}})
		},
		"PruneUsage": func() error { return s.PruneUsage(ctx, keys.UsageKeep{keys.Day: 0}, start, 0) },
		"Touch":      func() error { return s.Touch(ctx, map[keys.ID]time.Time{k.Key.ID: start}) },
	}
}

// asking are all methods that only read.
func asking(s *suite, ctx context.Context, k keys.New) map[string]func() error {
	return map[string]func() error{
		"Find": func() error { _, err := s.Find(ctx, k.Digest); return err },
		"Get":  func() error { _, err := s.Get(ctx, k.Key.ID, start); return err },
		"List": func() error { _, _, err := s.List(ctx, keys.Query{Now: start, Text: "abc"}); return err },
		"Usage": func() error {
			_, err := s.Usage(ctx, keys.UsageQuery{Key: k.Key.ID, Step: keys.Day, From: start, To: start.Add(time.Hour)})
			return err
		},
		"SumUsage": func() error {
			_, err := s.SumUsage(ctx, keys.UsageSumQuery{Group: keys.ByAPI, Step: keys.Day, From: start, To: start.Add(time.Hour)})
			return err
		},
		"Unused":      func() error { _, _, err := s.List(ctx, keys.Query{Now: start, UnusedSince: start}); return err },
		"Audit":       func() error { _, _, err := s.Audit(ctx, keys.AuditQuery{}); return err },
		"Endpoints":   func() error { _, err := s.Endpoints(ctx); return err },
		"Nodes":       func() error { _, _, err := s.Nodes(ctx); return err },
		"Declared":    func() error { _, err := s.Declared(ctx, ""); return err },
		"LastSeq":     func() error { _, err := s.LastSeq(ctx); return err },
		"Changes":     func() error { _, err := s.Changes(ctx, 0, 10); return err },
		"AwaitChange": func() error { return s.AwaitChange(ctx, 2) },
		"Recent":      func() error { return s.Recent(ctx, 10, func(*keys.Identity) bool { return true }) },
		"Digests":     func() error { return s.Digests(ctx, func(keys.Digest) bool { return true }) },
		"HasForeign":  func() error { _, err := s.HasForeign(ctx); return err },
		"HasAdmin":    func() error { _, err := s.HasAdmin(ctx); return err },
		"Counts":      func() error { _, err := s.Counts(ctx, start); return err },
		"Ping":        func() error { return s.Ping(ctx) },
	}
}

func faultContext(s *suite) {
	k := s.created("a")
	s.must(s.PutEndpoint(s.Context(), by(start), keys.Endpoint{API: "a", ID: "e"}))
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	s.unchanged(func() {
		for _, calls := range []map[string]func() error{changing(s, ctx, k), asking(s, ctx, k)} {
			for name, call := range calls {
				if err := call(); !errors.Is(err, context.Canceled) {
					s.Errorf("%s: error %v", name, err)
				}
			}
		}
	})
}

func faultContextInEdit(s *suite) {
	k := s.created("a")
	ctx, cancel := context.WithCancel(s.Context())
	s.unchanged(func() {
		_, err := s.Update(ctx, by(start), k.Key.ID, keys.Guard{}, func(k *keys.Key) error {
			k.Name = "b"
			cancel()
			return nil
		})
		if err == nil {
			s.Fatal("an edit whose context had ended was stored")
		}
	})
	s.updated(k.Key.ID, start, func(k *keys.Key) { k.Name = "c" })
}

// faultDeadline keeps the store's lock in one handle's edit and lets another
// handle, and the same one, wait for it.
func faultDeadline(s *suite) {
	k := s.created("a")
	node := s.handle(keys.Options{})
	locked, release := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := node.Update(s.Context(), by(start), k.Key.ID, keys.Guard{}, func(k *keys.Key) error {
			close(locked)
			<-release
			k.Name = "b"
			return nil
		})
		done <- err
	}()
	<-locked
	for _, store := range []keys.Store{s.Store, node} {
		ctx, cancel := context.WithTimeout(s.Context(), 100*time.Millisecond)
		began := time.Now()
		err := store.Create(ctx, by(start), "create", []keys.New{newKey("x")})
		cancel()
		s.mustBe(err, context.DeadlineExceeded)
		if waited := time.Since(began); waited > 2*time.Second {
			s.Errorf("waited %s for a lock, with a context of 100ms", waited)
		}
		// Who only reads does not wait.
		_, err = store.Find(s.Context(), k.Digest)
		s.must(err)
	}
	close(release)
	s.must(<-done)
	s.equal("listed", s.list(keys.Query{}), []string{"b"})
	s.created("c")
}

func faultClosed(s *suite) {
	k := s.created("a")
	s.must(s.Close())
	for _, calls := range []map[string]func() error{changing(s, s.Context(), k), asking(s, s.Context(), k)} {
		for name, call := range calls {
			if err := call(); err == nil {
				s.Errorf("%s succeeded", name)
			}
		}
	}
}

func faultClosedTwice(s *suite) {
	s.must(s.Close())
	_ = s.Close() // an error or none
	s.reopenOnly()
	s.created("a")
}

// reopenOnly opens the database again after a Close.
func (s *suite) reopenOnly() {
	s.Helper()
	s.Store = s.handle(keys.Options{OnCommit: s.told.add})
}

func faultText(s *suite) {
	for _, text := range []string{
		`'; DROP TABLE keys; --`, `"`, `\`, `%`, `_`, "$1", "?", "\u202e\u200b", "🔑🏳️‍🌈", "é e\u0301", "ẞß", "key\u00a0", strings.Repeat("長い", 60_000),
	} {
		k := newKey(text, owner(text), func(k *keys.Key) {
			k.Prefix, k.CreatedBy, k.Metadata = text, keys.ID(text), map[string]string{text: text}
		})
		s.create(k)
		want := k.Key
		want.Version = 1
		s.equal("key", s.get(k.Key.ID), &want)
		s.equal("found by owner", s.list(keys.Query{Owner: &text}), []string{text})
		if found := s.list(keys.Query{Text: text}); !slices.Contains(found, text) {
			s.Errorf("%.40q is not found by its name", text)
		}
		s.updated(k.Key.ID, start, func(k *keys.Key) { k.Owner = "another" })
		s.must(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{}))
	}
}

func faultNUL(s *suite) {
	k := newKey("a\x00b", owner("o\x00"))
	if err := s.Create(s.Context(), by(start), "create", []keys.New{k}); err != nil {
		s.equal("listed", s.list(keys.Query{}), []string{})
		return
	}
	s.equal("name and owner", []string{s.get(k.Key.ID).Name, s.get(k.Key.ID).Owner}, []string{"a\x00b", "o\x00"})
	s.equal("found", s.list(keys.Query{Text: "a\x00b"}), []string{"a\x00b"})
}

func faultNotUTF8(s *suite) {
	k := newKey("\xff\xfe\xc3(", func(k *keys.Key) { k.Metadata = map[string]string{"\xff": "\xfe"} })
	if err := s.Create(s.Context(), by(start), "create", []keys.New{k}); err != nil {
		s.equal("listed", s.list(keys.Query{}), []string{})
		return
	}
	s.equal("listed", len(s.list(keys.Query{})), 1)
	s.must(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{}))
}

func faultChurn(s *suite) {
	for i := range 30 {
		k := s.created(fmt.Sprint("churn ", i))
		s.must(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{}))
	}
	s.created("last")
	s.equal("listed", s.list(keys.Query{}), []string{"last"})
	s.equal("found", s.list(keys.Query{Text: "churn"}), []string{})
	s.equal("digests", len(s.state().Digests), 1)
	s.reopen()
	s.equal("listed", s.list(keys.Query{}), []string{"last"})
}
