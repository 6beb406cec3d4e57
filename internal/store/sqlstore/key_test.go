package sqlstore

import (
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

func TestAKeyIsFoundByTheAPIsThatItOpens(t *testing.T) {
	part := func(access permission.Access) permission.Grant {
		return permission.Grant{API: "part", ByEndpoint: true, Endpoints: []permission.EndpointGrant{{Endpoint: "e", Access: access}}}
	}
	for name, c := range map[string]struct {
		set  permission.Set
		want []string
	}{
		"nothing":   {permission.Set{}, nil},
		"all":       {permission.Set{Mode: permission.All}, []string{"*"}},
		"read_only": {permission.Set{Mode: permission.ReadOnly}, []string{"*"}},
		"listed":    {permission.Set{APIs: []permission.Grant{{API: "a", Access: permission.Read}, {API: "b"}, part(permission.Write)}}, []string{"a", "part"}},
		"closed":    {permission.Set{APIs: []permission.Grant{{API: "b"}, part(permission.None)}}, nil},
	} {
		got := openAPIs(&keys.Key{Permissions: c.set})
		if len(got) != len(c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
	}
}

func TestTimesAreMillisecondsAndZeroIsNever(t *testing.T) {
	for _, c := range []struct{ in, want time.Time }{
		{time.Time{}, time.Time{}},
		{time.UnixMilli(0), time.UnixMilli(1).UTC()},
		{time.Unix(0, 999), time.UnixMilli(1).UTC()},
		{time.Unix(1, 1_999_999), time.UnixMilli(1001).UTC()},
		{time.UnixMilli(-5), time.UnixMilli(-5).UTC()},
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("x", -3600)), time.Date(10000, 1, 1, 0, 59, 59, 0, time.UTC)},
	} {
		if got := fromOptionalMilli(optionalMilli(c.in)); !got.Equal(c.want) || got.IsZero() != c.want.IsZero() {
			t.Errorf("%s came back as %s, want %s", c.in, got, c.want)
		}
	}
}

func TestACloneSharesNothing(t *testing.T) {
	k := &keys.Key{
		Metadata: map[string]string{"a": "b"}, Rotation: &keys.Rotation{PreviousPrefix: "p"},
		Permissions: permission.Set{APIs: []permission.Grant{{API: "a", ByEndpoint: true, Endpoints: []permission.EndpointGrant{{Endpoint: "e", Access: permission.Read}}}}},
	}
	c := clone(k)
	c.Metadata["a"], c.Rotation.PreviousPrefix, c.Permissions.APIs[0].API, c.Permissions.APIs[0].Endpoints[0].Access = "x", "x", "x", permission.Write
	if k.Metadata["a"] != "b" || k.Rotation.PreviousPrefix != "p" || k.Permissions.APIs[0].API != "a" || k.Permissions.APIs[0].Endpoints[0].Access != permission.Read {
		t.Fatalf("the original changed: %+v", k)
	}
}
