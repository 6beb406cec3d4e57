package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

var concurrencyTests = map[string]func(*suite){
	"sixteen writers on two handles leave no gap in the feed": concurrentFeed,
	"concurrent edits of one key lose none":                   concurrentEdits,
	"one of many guarded edits wins":                          concurrentGuards,
	"one of many creations of a secret wins":                  concurrentSecrets,
	"look-ups go on while others write":                       concurrentFinds,
	"a rotation is seen whole":                                concurrentRotation,
}

// concurrentFeed lets a reader follow the feed while others write: it must
// see every number, in order, each with what is already visible.
func concurrentFeed(s *suite) {
	const writers, each = 16, 12
	nodes := []keys.Store{s.Store, s.handle(keys.Options{})}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				if err := nodes[w%2].Create(s.Context(), by(start), "create", []keys.New{newKey("a")}); err != nil {
					s.Error(err)
				}
			}
		})
	}
	reader := s.handle(keys.Options{})
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	var last keys.Seq
	for last < writers*each {
		s.must(reader.AwaitChange(ctx, last))
		changes, err := reader.Changes(ctx, last, 5)
		s.must(err)
		for _, c := range changes {
			s.equal("number", c.Seq, last+1)
			last = c.Seq
			_, err := reader.Find(ctx, c.Digests[0])
			s.must(err)
		}
	}
	wg.Wait()
	seqs := map[keys.Seq]bool{}
	for _, c := range s.told.all() {
		seqs[c.Seq] = true
	}
	s.equal("changes told to the first handle", len(seqs), writers/2*each)
}

func concurrentEdits(s *suite) {
	k := s.created("a")
	nodes := []keys.Store{s.Store, s.handle(keys.Options{})}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			_, err := nodes[i%2].Update(s.Context(), by(start), k.Key.ID, keys.Guard{}, func(k *keys.Key) error {
				k.Owner += fmt.Sprintf(" %02d", i)
				return nil
			})
			if err != nil {
				s.Error(err)
			}
		})
	}
	wg.Wait()
	got := s.get(k.Key.ID)
	words := strings.Fields(got.Owner)
	slices.Sort(words)
	s.equal("edits", len(slices.Compact(words)), 16)
	s.equal("version", got.Version, int64(17))
}

func concurrentGuards(s *suite) {
	k := s.created("a")
	nodes := []keys.Store{s.Store, s.handle(keys.Options{})}
	var wg sync.WaitGroup
	var won atomic.Int32
	for i := range 16 {
		wg.Go(func() {
			_, err := nodes[i%2].Update(s.Context(), by(start), k.Key.ID, keys.Guard{Version: 1}, func(k *keys.Key) error {
				k.Name = fmt.Sprint("winner ", i)
				return nil
			})
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, keys.ErrVersion):
				s.Error(err)
			}
		})
	}
	wg.Wait()
	s.equal("winners", won.Load(), int32(1))
}

func concurrentSecrets(s *suite) {
	nodes := []keys.Store{s.Store, s.handle(keys.Options{})}
	d := newDigest()
	var wg sync.WaitGroup
	var won atomic.Int32
	for i := range 16 {
		wg.Go(func() {
			k := newKey("a")
			k.Digest = d
			err := nodes[i%2].Create(s.Context(), by(start), "create", []keys.New{newKey("with it"), k})
			var known *keys.KnownSecretError
			switch {
			case err == nil:
				won.Add(1)
			case !errors.As(err, &known):
				s.Error(err)
			}
		})
	}
	wg.Wait()
	s.equal("winners", won.Load(), int32(1))
	s.equal("listed", s.list(keys.Query{}), []string{"a", "with it"})
}

func concurrentFinds(s *suite) {
	k := s.created("a")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.Find(s.Context(), k.Digest); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	for i := range 20 {
		s.updated(k.Key.ID, start, func(k *keys.Key) { k.Name = fmt.Sprint(i) })
	}
	close(stop)
	wg.Wait()
}

// While a key's secret is rotated again and again, who lists the digests
// sees two at any moment: the new one and the one in its grace.
func concurrentRotation(s *suite) {
	k := s.created("a")
	s.rotated(k.Key.ID, start, start.Add(time.Hour))
	node := s.handle(keys.Options{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 15 {
			if _, err := node.Rotate(s.Context(), by(start), k.Key.ID, keys.Guard{}, newDigest(), "kw_new", start.Add(time.Hour)); err != nil {
				s.Error(err)
			}
		}
	}()
	for {
		n := 0
		s.must(s.Digests(s.Context(), func(keys.Digest) bool { n++; return true }))
		s.equal("digests", n, 2)
		select {
		case <-done:
			return
		default:
		}
	}
}
