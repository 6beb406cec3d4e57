package sqlstore

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

func TestPermissionsAreReadAlikeTheFirstTimeAndLater(t *testing.T) {
	s := newSets()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 3000 { // more than are remembered
				name := fmt.Sprintf("a%d", i%1000)
				want, err := permission.NewRestricted(permission.Grant{API: name, Access: permission.Read})
				if err != nil {
					t.Error(err)
					return
				}
				got, err := s.read([]byte(`{"mode":"restricted","apis":{"` + name + `":{"access":"read"}}}`))
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("%v -want +got:\n%s", err, diff)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestPermissionsThatCannotBeReadAreNotRemembered(t *testing.T) {
	s := newSets()
	for _, text := range []string{``, `{`, `{"mode":"admin"}`, `null x`} {
		for range 2 {
			if _, err := s.read([]byte(text)); err == nil {
				t.Errorf("%q is permissions", text)
			}
		}
	}
	long := []byte(`{"mode":"all"}` + strings.Repeat(" ", rememberedText))
	if got, err := s.read(long); err != nil || got.Mode != permission.All {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range s.at {
		if s.at[i].Load() != nil {
			t.Error("something is remembered")
		}
	}
}
