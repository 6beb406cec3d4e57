package cache

import (
	"slices"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func TestAFrontIsBoundedAndNeverEmpty(t *testing.T) {
	for size, want := range map[int64]int{0: 2, 1: 2, 2: 2, 3: 2, 4: 4, 1000: 512, 100_000: 65_536, 1_000_000: mostFront, 1 << 40: mostFront} {
		if got := 2 * len(newFront(size)); got != want {
			t.Errorf("for %d keys: %d places, want %d", size, got, want)
		}
	}
}

// Two secrets that share their places are both in the front. What becomes of
// one leaves the other as it is, and no secret is there twice.
func TestTwoSecretsWithTheSamePlacesAreBothThere(t *testing.T) {
	f := newFront(1)
	one, two, three := digest(1), digest(2), digest(3)
	for i, d := range []*keys.Digest{&one, &two, &three} { // three prefers what two has
		d[15] = byte(min(i, 1))
	}
	have := map[keys.Digest]*keys.Identity{}
	put := func(d keys.Digest) {
		have[d] = keys.NewIdentity(d, keys.Names{}, nil, 0)
		f.set(&d, have[d])
	}
	want := func(when string, there ...keys.Digest) {
		t.Helper()
		for d, id := range have {
			if !slices.Contains(there, d) {
				id = nil
			}
			if f.get(&d) != id {
				t.Errorf("%s: %v", when, f.get(&d))
			}
		}
	}
	put(one)
	put(two)
	want("two", one, two)
	put(one)
	put(two)
	want("both anew", one, two)
	put(three)
	want("a third one", one, three)
	f.del(&two)
	want("deleting one that is not there", one, three)
	f.del(&one)
	want("the first deleted", three)
	put(three)
	put(two)
	want("there is room", two, three)
	f.del(&three)
	put(two)
	f.del(&two)
	want("in no place twice")
	put(one)
	want("and again", one)
}

// Of secrets with the same places some are not in the front. They are found all
// the same, and what becomes of one leaves the others as they are.
func TestSecretsThatShareAPlaceAreToldApart(t *testing.T) {
	c := newCache(t, 100)
	other := digest(3)
	first := digest(1)
	second := digest(2)
	copy(second[16:24], first[16:24])
	copy(other[16:24], first[16:24])
	put(t, c, other, keys.NewIdentity(other, keys.Names{ID: "3"}, nil, 0))
	one, two := keys.NewIdentity(first, keys.Names{ID: "1"}, nil, 0), keys.NewIdentity(second, keys.Names{ID: "2"}, nil, 0)
	want := func(when string, d keys.Digest, id *keys.Identity) {
		t.Helper()
		if e, ok := c.Get(&d); ok != (id != nil) || e.Identity != id {
			t.Errorf("%s: %v", when, e)
		}
	}
	put(t, c, first, one)
	put(t, c, second, two)
	want("one of two", first, one)
	want("two of two", second, two)
	c.Invalidate([]keys.Digest{first})
	want("forgotten", first, nil)
	want("not forgotten", second, two)
	put(t, c, first, one)
	c.Invalidate([]keys.Digest{second})
	want("forgotten", second, nil)
	want("not forgotten", first, one)
	put(t, c, first, nil) // it is gone, and nobody has told
	want("unknown by now", second, nil)
	if e, ok := c.Get(&first); !ok || e.Identity != nil {
		t.Errorf("a secret that is unknown by now is found as %v, %t", e, ok)
	}
}

func TestWhatSaysTheSameStaysWhereItIs(t *testing.T) {
	c := newCache(t, 100)
	d := digest(1)
	rights := &keys.Rights{Enabled: true}
	was := keys.NewIdentity(d, keys.Names{ID: "1", Name: "a"}, rights, 7)
	put(t, c, d, was)
	if !was.StartRefresh() {
		t.Fatal("nobody may refresh it")
	}
	if !c.Put(c.Ticket(&d), keys.NewIdentity(d, keys.Names{ID: "1", Name: "a"}, rights, 7), 9e9) {
		t.Fatal("a fresh ticket was refused")
	}
	c.Wait()
	if e, ok := c.Get(&d); !ok || e.Identity != was || e.CheckedAt != 9e9 || !e.StartRefresh() {
		t.Errorf("%v, %t: want the same one, as fresh as the last answer", e, ok)
	}
	for name, other := range map[string]*keys.Identity{
		"name":   keys.NewIdentity(d, keys.Names{ID: "1", Name: "b"}, rights, 7),
		"rights": keys.NewIdentity(d, keys.Names{ID: "1", Name: "a"}, &keys.Rights{}, 7),
		"expiry": keys.NewIdentity(d, keys.Names{ID: "1", Name: "a"}, rights, 8),
	} {
		put(t, c, d, other)
		if e, ok := c.Get(&d); !ok || e.Identity != other {
			t.Errorf("another %s: %v", name, e)
		}
	}
}
