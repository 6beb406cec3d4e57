package permission

import (
	"testing"

	"pgregory.net/rapid"
)

func TestWithinIsWhatTheModesSay(t *testing.T) {
	part := func(access Access) Grant {
		return Grant{API: "a", ByEndpoint: true, Endpoints: []EndpointGrant{{"e", access}}}
	}
	sets := map[string]Set{
		"all": {Mode: All}, "read_only": {Mode: ReadOnly}, "nothing": {}, "mode that does not exist": {Mode: 99},
		"a=read": mustRestricted(t, Grant{API: "a", Access: Read}), "a=write": mustRestricted(t, Grant{API: "a", Access: Write}),
		"a=none": mustRestricted(t, Grant{API: "a"}), "a/e=read": mustRestricted(t, part(Read)), "a/e=write": mustRestricted(t, part(Write)),
		"a/e=none": mustRestricted(t, part(None)), "b=read": mustRestricted(t, Grant{API: "b", Access: Read}),
	}
	within := map[string][]string{
		"all":                      {"all"},
		"read_only":                {"all", "read_only"},
		"nothing":                  {"all", "read_only", "nothing", "mode that does not exist", "a=read", "a=write", "a=none", "a/e=read", "a/e=write", "a/e=none", "b=read"},
		"mode that does not exist": {"all", "read_only", "nothing", "mode that does not exist", "a=read", "a=write", "a=none", "a/e=read", "a/e=write", "a/e=none", "b=read"},
		"a=none":                   {"all", "read_only", "nothing", "mode that does not exist", "a=read", "a=write", "a=none", "a/e=read", "a/e=write", "a/e=none", "b=read"},
		"a/e=none":                 {"all", "read_only", "nothing", "mode that does not exist", "a=read", "a=write", "a=none", "a/e=read", "a/e=write", "a/e=none", "b=read"},
		"a=read":                   {"all", "read_only", "a=read", "a=write"},
		"a=write":                  {"all", "a=write"},
		"a/e=read":                 {"all", "read_only", "a=read", "a=write", "a/e=read", "a/e=write"},
		"a/e=write":                {"all", "a=write", "a/e=write"},
		"b=read":                   {"all", "read_only", "b=read"},
	}
	for name, set := range sets {
		for other, bigger := range sets {
			want := false
			for _, w := range within[name] {
				want = want || w == other
			}
			if got := set.Within(&bigger); got != want {
				t.Errorf("%s within %s: %t, want %t", name, other, got, want)
			}
		}
	}
}

// A set within another one opens no request that the other does not.
func TestWhatIsWithinOpensNothingMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		small, big := drawSet(t), drawSet(t)
		if !small.Within(&small) {
			t.Fatalf("%+v is not within itself", small)
		}
		apis, endpoints := []string{"undeclared"}, []string{"", "unlisted"}
		for _, set := range []Set{small, big} {
			for _, g := range set.APIs {
				apis = append(apis, g.API)
				for _, e := range g.Endpoints {
					endpoints = append(endpoints, e.Endpoint)
				}
			}
		}
		opens := true
		for _, api := range apis {
			for _, endpoint := range endpoints {
				opens = opens && small.For(api, endpoint) <= big.For(api, endpoint)
			}
		}
		// The names that stand in neither set speak for all others.
		if got := small.Within(&big); got != opens {
			t.Fatalf("%+v within %+v: %t, want %t", small, big, got, opens)
		}
	})
}
