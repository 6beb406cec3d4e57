package keys

import (
	"sync"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A cache may hold millions: one field more, and each takes 112 bytes.
func TestAnIdentityIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Identity{}); size != 96 {
		t.Errorf("an identity takes %d bytes, want 96", size)
	}
}

func TestNamesAreWhatTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Names{
			ID:     ID(rapid.String().Draw(t, "id")),
			Prefix: rapid.String().Draw(t, "prefix"),
			Owner:  rapid.String().Draw(t, "owner"),
			Name:   rapid.String().Draw(t, "name"),
		}
		if diff := cmp.Diff(want, NewIdentity(Digest{}, want, nil, 0).Names()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestUsesAreCountedInOnePlace(t *testing.T) {
	id := NewIdentity(Digest{}, Names{}, nil, 0)
	const users = 8
	var wg sync.WaitGroup
	for range users {
		wg.Go(func() { id.Use().At.Add(1) })
	}
	wg.Wait()
	if n := id.Use().At.Load(); n != users {
		t.Errorf("%d of %d uses were counted", n, users)
	}
}
