package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func newCache(t testing.TB, size int64) *Cache {
	t.Helper()
	c, err := New(size, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func digest(n int) keys.Digest {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	return sha256.Sum256(b[:])
}

func put(t testing.TB, c *Cache, d keys.Digest, id *keys.Identity) {
	t.Helper()
	if !c.Put(c.Ticket(&d), id, 0) {
		t.Fatal("a fresh ticket was refused")
	}
	c.Wait()
}

func TestPutIsFoundAndInvalidateForgets(t *testing.T) {
	c := newCache(t, 100)
	known, unknown := digest(1), digest(2)
	if _, ok := c.Get(&known); ok {
		t.Fatal("found before it was put")
	}
	id := keys.NewIdentity(known, keys.Names{ID: "key_1"}, nil, 0)
	put(t, c, known, id)
	put(t, c, unknown, nil)
	if e, ok := c.Get(&known); !ok || e.Identity != id {
		t.Fatalf("known: %+v", e)
	}
	if e, ok := c.Get(&unknown); !ok || e.Identity != nil {
		t.Fatalf("unknown: %+v", e)
	}
	c.Invalidate([]keys.Digest{known, unknown})
	for _, d := range []keys.Digest{known, unknown} {
		if _, ok := c.Get(&d); ok {
			t.Fatal("found after Invalidate")
		}
	}
}

func TestTicketFromBeforeAnInvalidationIsRefused(t *testing.T) {
	c := newCache(t, 100)
	d := digest(1)
	ticket := c.Ticket(&d)
	c.Invalidate([]keys.Digest{d})
	if c.Put(ticket, &keys.Identity{}, 0) {
		t.Error("an old ticket was accepted after Invalidate")
	}
	if c.Put(ticket, nil, 0) {
		t.Error("an old ticket was accepted for an unknown secret")
	}
	ticket = c.Ticket(&d)
	c.Reset()
	if c.Put(ticket, &keys.Identity{}, 0) {
		t.Error("an old ticket was accepted after Reset")
	}
	c.Wait()
	if _, ok := c.Get(&d); ok {
		t.Error("something was remembered all the same")
	}
}

func TestResetForgetsEverythingAtOnce(t *testing.T) {
	c := newCache(t, 1000)
	for i := range 100 {
		put(t, c, digest(i), &keys.Identity{})
		put(t, c, digest(1000+i), nil)
	}
	c.Reset()
	for i := range 100 {
		for _, d := range []keys.Digest{digest(i), digest(1000 + i)} {
			if _, ok := c.Get(&d); ok {
				t.Fatal("found after Reset")
			}
		}
	}
	d := digest(1)
	put(t, c, d, &keys.Identity{})
	if _, ok := c.Get(&d); !ok {
		t.Error("nothing is remembered after Reset")
	}
}

// Two digests that ristretto can't tell apart must not be taken for each other.
func TestSecretsWithTheSame64BitsAreToldApart(t *testing.T) {
	c := newCache(t, 100)
	a := digest(1)
	b := a
	b[31] ^= 1
	put(t, c, a, keys.NewIdentity(a, keys.Names{ID: "a"}, nil, 0))
	if e, ok := c.Get(&b); ok {
		t.Fatalf("b was taken for %s", e.Identity.ID())
	}
}

func TestUnknownAnswerReplacesAKnownOne(t *testing.T) {
	c := newCache(t, 100)
	d := digest(1)
	put(t, c, d, &keys.Identity{})
	put(t, c, d, nil)
	if e, ok := c.Get(&d); !ok || e.Identity != nil {
		t.Fatalf("still known: %+v", e)
	}
}

// Readers, look-ups and changes at once: what a reader sees after a change
// was acknowledged is never from before it. Run under -race.
func TestNoAnswerFromBeforeAnAcknowledgedChange(t *testing.T) {
	t.Run("each in places of its own", func(t *testing.T) { changeWhileLookedUp(t, 1000) })
	t.Run("several in the same places", func(t *testing.T) { changeWhileLookedUp(t, 2) })
}

func changeWhileLookedUp(t *testing.T, size int64) {
	c := newCache(t, size)
	const secrets, changes = 8, 2000
	var (
		mu    sync.Mutex
		store [secrets]int64 // the truth: the version of each key
		acked [secrets]int64 // versions whose change was acknowledged
		done  = make(chan struct{})
		all   sync.WaitGroup
	)
	lookUp := func(i int) {
		d := digest(i)
		mu.Lock()
		before := acked[i]
		mu.Unlock()
		if e, ok := c.Get(&d); ok {
			if e.Identity.ExpiresAt < before {
				t.Errorf("key %d: version %d seen after version %d was acknowledged", i, e.Identity.ExpiresAt, before)
			}
			return
		}
		ticket := c.Ticket(&d)
		mu.Lock()
		version := store[i]
		mu.Unlock()
		runtime.Gosched() // the answer is on its way
		c.Put(ticket, &keys.Identity{ExpiresAt: version}, 0)
	}
	for range 4 {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
					lookUp(n % secrets)
				}
			}
		})
	}
	for n := range changes {
		i := n % secrets
		mu.Lock()
		store[i]++
		version := store[i]
		mu.Unlock()
		c.Invalidate([]keys.Digest{digest(i)})
		mu.Lock()
		acked[i] = version
		mu.Unlock()
	}
	close(done)
	all.Wait()
}

func TestSizeIsBounded(t *testing.T) {
	const size = 1000
	c := newCache(t, size)
	for i := range 20 * size {
		c.Put(c.Ticket(new(digest(i))), &keys.Identity{}, 0)
		c.Put(c.Ticket(new(digest(-i-1))), nil, 0)
		if i%1000 == 0 {
			c.Wait()
		}
	}
	c.Wait()
	var known, unknown int
	for i := range 20 * size {
		if _, ok := c.Get(new(digest(i))); ok {
			known++
		}
		if _, ok := c.Get(new(digest(-i - 1))); ok {
			unknown++
		}
	}
	// The front may hold some that ristretto has put out.
	if known > size+2*len(c.front) || unknown > size || known == 0 || unknown == 0 {
		t.Errorf("%d keys and %d unknown secrets are remembered, want 1 to %d", known, unknown, size)
	}
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			c := newCache(b, int64(2*n))
			digests := make([]keys.Digest, n)
			for i := range digests {
				digests[i] = digest(i)
				c.Put(c.Ticket(&digests[i]), &keys.Identity{Digest: digests[i]}, time.Duration(i))
				if i%1000 == 0 {
					c.Wait()
				}
			}
			c.Wait()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 7919) % n
				if _, ok := c.Get(&digests[i]); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}
