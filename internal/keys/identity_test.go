package keys

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A cache may hold millions: one field more, and each takes 96 bytes.
func TestAnIdentityIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Identity{}); size != 80 {
		t.Errorf("an identity takes %d bytes, want 80", size)
	}
}

func TestNamesAreWhatTheyWere(t *testing.T) {
	text := rapid.Custom(func(t *rapid.T) string { // short, long, and about as long as a byte can say
		return strings.Repeat(rapid.String().Draw(t, "text"), rapid.SampledFrom([]int{1, 1, 1, 50}).Draw(t, "times")) +
			strings.Repeat("x", rapid.SampledFrom([]int{0, 0, 15, 100, 500, 65_534, 65_535, 65_536, 70_000}).Draw(t, "more"))
	})
	rapid.Check(t, func(t *rapid.T) {
		want := Names{ID: ID(text.Draw(t, "id")), Prefix: text.Draw(t, "prefix"), Owner: text.Draw(t, "owner"), Name: text.Draw(t, "name")}
		if diff := cmp.Diff(want, NewIdentity(Digest{}, want, nil, 0).Names()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestNobodyHasNoNames(t *testing.T) {
	for _, id := range []*Identity{{}, NewIdentity(Digest{}, Names{}, nil, 0)} {
		if got := id.Names(); got != (Names{}) {
			t.Errorf("the names are %+v", got)
		}
	}
}

// The collector must keep what stands behind an Identity, and follow what is in it.
func TestTextsAndRightsOutliveCollections(t *testing.T) {
	var all []*Identity
	var want []Names
	for size := range 600 {
		n := Names{ID: ID(strings.Repeat("i", size)), Prefix: "p", Owner: strings.Repeat("o", size%7), Name: strings.Repeat("n", size*3)}
		all = append(all, NewIdentity(Digest{byte(size)}, n, &Rights{EndsAt: int64(size)}, int64(size)))
		want = append(want, n)
		if size%100 == 0 {
			runtime.GC()
		}
	}
	runtime.GC()
	for size, id := range all {
		if got := id.Names(); got != want[size] || id.EndsAt != int64(size) || id.ExpiresAt != int64(size) || id.Digest[0] != byte(size) {
			t.Fatalf("of size %d: %+v", size, got)
		}
	}
}

func TestReadingNamesMakesNoGarbage(t *testing.T) {
	id := NewIdentity(Digest{}, Names{ID: "key_1", Prefix: "kw_1", Owner: "team", Name: "ci"}, nil, 0)
	if n := testing.AllocsPerRun(100, func() { _ = id.Names() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
