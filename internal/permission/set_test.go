package permission

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func mustRestricted(t testing.TB, grants ...Grant) Set {
	t.Helper()
	set, err := NewRestricted(grants...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// The table of the contract's section 4: mode × API access × endpoint × the
// access that a request needs.
func TestAccessIsExactlyTheContracts(t *testing.T) {
	byEndpoint := Grant{API: "api", ByEndpoint: true, Endpoints: []EndpointGrant{{"w", Write}, {"r", Read}, {"n", None}}}
	sets := []struct {
		name string
		set  Set
		// has by endpoint: "" (no endpoint), w, r, n, unlisted
		has [5]Access
	}{
		{"zero value", Set{}, [5]Access{}},
		{"mode that does not exist", Set{Mode: 99}, [5]Access{}},
		{"all", Set{Mode: All}, [5]Access{Write, Write, Write, Write, Write}},
		{"read_only", Set{Mode: ReadOnly}, [5]Access{Read, Read, Read, Read, Read}},
		{"restricted, nothing listed", mustRestricted(t), [5]Access{}},
		{"restricted, another api listed", mustRestricted(t, Grant{API: "other", Access: Write}), [5]Access{}},
		{"restricted, none", mustRestricted(t, Grant{API: "api", Access: None}), [5]Access{}},
		{"restricted, read", mustRestricted(t, Grant{API: "api", Access: Read}), [5]Access{Read, Read, Read, Read, Read}},
		{"restricted, write", mustRestricted(t, Grant{API: "api", Access: Write}), [5]Access{Write, Write, Write, Write, Write}},
		{"restricted by endpoint", mustRestricted(t, byEndpoint), [5]Access{None, Write, Read, None, None}},
		{"restricted by endpoint, none listed", mustRestricted(t, Grant{API: "api", ByEndpoint: true, Access: Write}), [5]Access{}},
	}
	for _, c := range sets {
		for i, endpoint := range []string{"", "w", "r", "n", "unlisted"} {
			for _, needs := range []Access{Read, Write} {
				t.Run(fmt.Sprintf("%s/endpoint %q/needs %s", c.name, endpoint, needs), func(t *testing.T) {
					has := c.set.For("api", endpoint)
					if has != c.has[i] {
						t.Fatalf("access is %s, want %s", has, c.has[i])
					}
					// How Decide compares: write includes read, none is in neither.
					want := c.has[i] == Write || c.has[i] == Read && needs == Read
					if allowed := has >= needs; allowed != want {
						t.Fatalf("allowed is %t, want %t", allowed, want)
					}
				})
			}
		}
	}
}

func TestAPIsDeclaredLaterAreClosedToRestrictedKeys(t *testing.T) {
	set := mustRestricted(t, Grant{API: "old", Access: Write}, Grant{API: "old2", ByEndpoint: true, Endpoints: []EndpointGrant{{"e", Write}}})
	if got := set.For("new", ""); got != None {
		t.Errorf("a new API gives %s, want none", got)
	}
	if got := set.For("old2", "new"); got != None {
		t.Errorf("a new endpoint gives %s, want none", got)
	}
}

func TestAnyFindsAccessBelowTheAPI(t *testing.T) {
	set := mustRestricted(t,
		Grant{API: "closed", Access: None}, Grant{API: "open", Access: Read},
		Grant{API: "part", ByEndpoint: true, Endpoints: []EndpointGrant{{"a", None}, {"b", Read}}},
		Grant{API: "shut", ByEndpoint: true, Endpoints: []EndpointGrant{{"a", None}}})
	for api, want := range map[string]bool{"closed": false, "open": true, "part": true, "shut": false, "unlisted": false} {
		if got := set.Any(api); got != want {
			t.Errorf("Any(%q) = %t, want %t", api, got, want)
		}
	}
}

// Short and long sets are searched in different ways, with one result.
func TestLongSetsGiveWhatTheyList(t *testing.T) {
	for _, n := range []int{1, few, few + 1, 100} {
		var grants []Grant
		for i := range n {
			g := Grant{API: fmt.Sprintf("api-%d", i), ByEndpoint: true}
			for j := range n {
				g.Endpoints = append(g.Endpoints, EndpointGrant{fmt.Sprintf("e%d", j), Access((i + j) % 3)})
			}
			grants = append(grants, g)
		}
		set := mustRestricted(t, grants...)
		for i := range n {
			for j := range n {
				if got, want := set.For(fmt.Sprintf("api-%d", i), fmt.Sprintf("e%d", j)), Access((i+j)%3); got != want {
					t.Fatalf("%d of %d, endpoint %d: %s, want %s", i, n, j, got, want)
				}
			}
			if got := set.For(fmt.Sprintf("api-%d", i), "e"); got != None {
				t.Fatalf("an unlisted endpoint gives %s", got)
			}
		}
		if got := set.For("api", "e0"); got != None {
			t.Fatalf("an unlisted API gives %s", got)
		}
	}
}

func TestListingTwiceIsRefused(t *testing.T) {
	if _, err := NewRestricted(Grant{API: "a", Access: Read}, Grant{API: "a", Access: Write}); err == nil {
		t.Error("an API listed twice was accepted")
	}
	twice := []EndpointGrant{{"e", Read}, {"e", Write}}
	if _, err := NewRestricted(Grant{API: "a", ByEndpoint: true, Endpoints: twice}); err == nil {
		t.Error("an endpoint listed twice was accepted")
	}
}

func TestJSONComesBackAsItWent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := drawSet(t)
		text, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		var back Set
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(set, back, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s came back different (-went +came):\n%s", text, diff)
		}
	})
}

func drawSet(t *rapid.T) Set {
	mode := rapid.SampledFrom([]Mode{Restricted, ReadOnly, All}).Draw(t, "mode")
	if mode != Restricted {
		return Set{Mode: mode}
	}
	access := rapid.SampledFrom([]Access{None, Read, Write})
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z][a-z0-9-]{0,8}`), 0, 4, rapid.ID)
	var grants []Grant
	for _, api := range names.Draw(t, "apis") {
		g := Grant{API: api, ByEndpoint: rapid.Bool().Draw(t, "by endpoint")}
		if !g.ByEndpoint {
			g.Access = access.Draw(t, "access")
		} else {
			for _, id := range names.Draw(t, "endpoints") {
				g.Endpoints = append(g.Endpoints, EndpointGrant{id, access.Draw(t, "endpoint access")})
			}
		}
		grants = append(grants, g)
	}
	set, err := NewRestricted(grants...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestStoredNonsenseIsRefused(t *testing.T) {
	for _, text := range []string{
		``, `null0`, `{}`, `{"mode":"ALL"}`, `{"mode":"all","apis":{"a":{"access":"read"}}}`,
		`{"mode":"restricted","apis":{"a":{"access":"admin"}}}`,
		`{"mode":"restricted","apis":{"a":{"access":"restricted","endpoints":{"e":"restricted"}}}}`,
	} {
		var s Set
		if err := json.Unmarshal([]byte(text), &s); err == nil {
			t.Errorf("%s was read as %+v", text, s)
		}
	}
}

func BenchmarkForWithAThousandEndpoints(b *testing.B) {
	var endpoints []EndpointGrant
	for i := range 1000 {
		endpoints = append(endpoints, EndpointGrant{fmt.Sprintf("endpoint-%04d", i), Read})
	}
	set := mustRestricted(b, Grant{API: "api", ByEndpoint: true, Endpoints: endpoints})
	b.ReportAllocs()
	for b.Loop() {
		if set.For("api", "endpoint-0777") != Read {
			b.Fatal("wrong access")
		}
	}
}
