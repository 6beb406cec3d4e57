package sqlstore

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

func TestRightsAreReadAlikeTheFirstTimeAndLater(t *testing.T) {
	s := newRights()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 12_000 { // more than are remembered
				name := fmt.Sprintf("a%d", i%6000)
				want := &keys.Rights{Admin: permission.Access(i % 3), Enabled: i%2 == 0, Sources: sourceOf(t, "10.0.0.0/8")}
				var err error
				want.Permissions, err = permission.NewRestricted(permission.Grant{API: name, Access: permission.Read})
				if err != nil {
					t.Error(err)
					return
				}
				got, err := s.read(&rightsRow{
					permissions: `{"mode":"restricted","apis":{"` + name + `":{"access":"read"}}}`,
					admin:       permission.Access(i % 3).String(), enabled: i%2 == 0, sources: "10.0.0.0/8",
				})
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("%v -want +got:\n%s", err, diff)
					return
				}
			}
		})
	}
	wg.Wait()
}

func sourceOf(t *testing.T, network string) keys.Sources {
	t.Helper()
	sources, faults := keys.ParseSources([]string{network})
	if len(faults) > 0 {
		t.Error(faults)
	}
	return sources
}

var all = rightsRow{permissions: `{"mode":"all"}`, admin: "none", enabled: true}

func TestKeysShareTheRightsTheyHaveInCommon(t *testing.T) {
	s := newRights()
	rows := []rightsRow{all}
	for _, change := range []func(*rightsRow){
		func(r *rightsRow) { r.permissions = `{"mode":"read_only"}` },
		func(r *rightsRow) { r.admin = "read" },
		func(r *rightsRow) { r.enabled = false },
		func(r *rightsRow) { r.sources = "10.0.0.0/8" },
		func(r *rightsRow) { r.permissions += strings.Repeat(" ", rememberedText) },
	} {
		row := all
		change(&row)
		rows = append(rows, row)
	}
	distinct := map[*keys.Rights]bool{}
	for range 3 {
		for _, row := range rows {
			got, err := s.read(&row)
			if err != nil {
				t.Fatal(err)
			}
			distinct[got] = true
		}
	}
	if len(distinct) != len(rows) {
		t.Errorf("%d rights of %d kinds", len(distinct), len(rows))
	}
}

func TestTheEndOfAGraceIsOneKeysOwn(t *testing.T) {
	s := newRights()
	row := all
	row.endsAt = 17
	got, err := s.read(&row)
	if err != nil || got.EndsAt != 17 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err = s.read(&all); err != nil || got.EndsAt != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestRightsThatCannotBeReadAreNotRemembered(t *testing.T) {
	s := newRights()
	for _, permissions := range []string{``, `{`, `{"mode":"admin"}`, `null x`} {
		for range 2 {
			if _, err := s.read(&rightsRow{permissions: permissions, admin: "none"}); err == nil {
				t.Errorf("%q is permissions", permissions)
			}
		}
	}
	for _, row := range []rightsRow{{permissions: all.permissions, admin: "root"}, {permissions: all.permissions, admin: "none", sources: "10.0.0.0/99"}} {
		if _, err := s.read(&row); err == nil {
			t.Errorf("%+v are rights", row)
		}
	}
	long := all
	long.permissions += strings.Repeat(" ", rememberedLarge)
	if got, err := s.read(&long); err != nil || got.Permissions.Mode != permission.All {
		t.Errorf("%+v, %v", got, err)
	}
	for _, at := range [][]atomic.Pointer[right]{s.at[:], s.large[:]} {
		for i := range at {
			if at[i].Load() != nil {
				t.Error("something is remembered")
			}
		}
	}
}
