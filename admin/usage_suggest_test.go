package admin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// suggested returns what is suggested to a key, as text.
func suggested(t testing.TB, current permission.Set, uses ...keys.UsageOf) permission.Set {
	t.Helper()
	var grants []permission.Grant
	for name, need := range needsOf(uses, &current) {
		grants = append(grants, need.grant(name))
	}
	set, err := permission.NewRestricted(grants...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func restrictedTo(t testing.TB, grants ...permission.Grant) permission.Set {
	t.Helper()
	set, err := permission.NewRestricted(grants...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// did is "rest/users read", allowed if nothing else is said.
func did(what string, outcome ...string) keys.UsageOf {
	target, word, _ := strings.Cut(what, " ")
	api, endpoint, _ := strings.Cut(target, "/")
	access, err := permission.ParseAccess(word)
	if err != nil {
		panic(err)
	}
	return keys.UsageOf{What: keys.What{API: api, Endpoint: endpoint, Access: access, Outcome: append(outcome, keys.OutcomeAllowed)[0]}, N: 1, LastAt: time.Unix(1, 0)}
}

func TestSuggestionsAreTheSmallestThatCover(t *testing.T) {
	all := permission.Set{Mode: permission.All}
	byEndpoint := restrictedTo(t, permission.Grant{API: "rest", ByEndpoint: true, Endpoints: []permission.EndpointGrant{
		{Endpoint: "a", Access: permission.Write}, {Endpoint: "b", Access: permission.Write},
	}})
	many := []keys.UsageOf{}
	for i := range fewEndpoints + 1 {
		many = append(many, did(fmt.Sprintf("rest/e%d read", i)))
	}
	for name, c := range map[string]struct {
		current permission.Set
		uses    []keys.UsageOf
		want    string
	}{
		"nothing":                           {all, nil, `{"mode":"restricted"}`},
		"one endpoint":                      {all, []keys.UsageOf{did("rest/a read")}, `{"mode":"restricted","apis":{"rest":{"access":"restricted","endpoints":{"a":"read"}}}}`},
		"reads and writes":                  {all, []keys.UsageOf{did("rest/a read"), did("rest/a write"), did("rest/b read")}, `{"mode":"restricted","apis":{"rest":{"access":"restricted","endpoints":{"a":"write","b":"read"}}}}`},
		"no endpoint":                       {all, []keys.UsageOf{did("rest read"), did("rest/a write"), did("graphql read")}, `{"mode":"restricted","apis":{"graphql":{"access":"read"},"rest":{"access":"write"}}}`},
		"many endpoints":                    {all, many, `{"mode":"restricted","apis":{"rest":{"access":"read"}}}`},
		"endpoints that are not told apart": {all, []keys.UsageOf{did("rest// write")}, `{"mode":"restricted","apis":{"rest":{"access":"write"}}}`},
		"what was refused":                  {all, []keys.UsageOf{did("rest/a write", "insufficient_access"), did(" none", "no_such_api"), did("rest none")}, `{"mode":"restricted"}`},
		"what was only reported":            {permission.Set{}, []keys.UsageOf{did("rest/a write", wouldLackAccess), did("rest/b read", "would_disabled_key")}, `{"mode":"restricted","apis":{"rest":{"access":"restricted","endpoints":{"a":"write"}}}}`},
		"what was taken away since":         {permission.Set{Mode: permission.ReadOnly}, []keys.UsageOf{did("rest/a write"), did("graphql write")}, `{"mode":"restricted","apis":{"graphql":{"access":"read"},"rest":{"access":"restricted","endpoints":{"a":"read"}}}}`},
		"an API taken away since":           {byEndpoint, []keys.UsageOf{did("graphql write"), did("rest/c read"), did("rest/a read")}, `{"mode":"restricted","apis":{"rest":{"access":"restricted","endpoints":{"a":"read"}}}}`},
		"by endpoint, not told apart":       {byEndpoint, []keys.UsageOf{did("rest// read"), did("rest/a read")}, `{"mode":"restricted","apis":{"rest":{"access":"restricted","endpoints":{"a":"write","b":"write"}}}}`},
	} {
		text, err := suggested(t, c.current, c.uses...).MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, string(text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Whatever a key has and did: what is suggested covers all that it may do and
// did, and is never more than what it has.
func TestSuggestionsCoverWhatWasDoneAndGiveNothingNew(t *testing.T) {
	endpoints := []string{"", "a", "b", "c"}
	access := rapid.SampledFrom([]permission.Access{permission.None, permission.Read, permission.Write})
	rapid.Check(t, func(rt *rapid.T) {
		current := permission.Set{Mode: rapid.SampledFrom([]permission.Mode{permission.All, permission.ReadOnly, permission.Restricted}).Draw(rt, "mode")}
		if current.Mode == permission.Restricted {
			var grants []permission.Grant
			for _, api := range []string{"x", "y"} {
				g := permission.Grant{API: api, ByEndpoint: rapid.Bool().Draw(rt, "by endpoint")}
				if g.ByEndpoint {
					for _, e := range endpoints[1:] {
						g.Endpoints = append(g.Endpoints, permission.EndpointGrant{Endpoint: e, Access: access.Draw(rt, "access")})
					}
				} else {
					g.Access = access.Draw(rt, "access")
				}
				grants = append(grants, g)
			}
			current = restrictedTo(t, grants...)
		}
		var uses []keys.UsageOf
		for range rapid.IntRange(0, 12).Draw(rt, "uses") {
			what := keys.What{
				API: rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "api"), Endpoint: rapid.SampledFrom(append(endpoints, keys.OtherEndpoints)).Draw(rt, "endpoint"),
				Access: access.Draw(rt, "needed"), Outcome: keys.OutcomeAllowed,
			}
			uses = append(uses, keys.UsageOf{What: what, N: 1})
		}
		got := suggested(t, current, uses...)
		if !got.Within(&current) {
			rt.Fatalf("%+v is more than %+v", got, current)
		}
		for _, u := range uses {
			if u.Endpoint == keys.OtherEndpoints {
				continue
			}
			if has := current.For(u.API, u.Endpoint); has >= u.Access && got.For(u.API, u.Endpoint) < u.Access {
				rt.Fatalf("%+v does not cover %+v, which %+v does", got, u.What, current)
			}
		}
	})
}

func TestReasonsAreTold(t *testing.T) {
	for want, uses := range map[string][]keys.UsageOf{
		"only read, in 1 request for 1 endpoint":                        {did("rest/a read")},
		"wrote, in 1 of 3 requests for 2 endpoints":                     {did("rest/a read"), did("rest/b write"), did("rest/b read")},
		"only read, in 1 request for no endpoint of its own":            {did("rest read")},
		"only read, in 2 requests for 1 endpoint, and for none of them": {did("rest read"), did("rest/a read")},
	} {
		needs := needsOf(uses, &permission.Set{Mode: permission.All})
		if got := needs["rest"].detail(); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	kept := restrictedTo(t, permission.Grant{API: "rest", ByEndpoint: true, Endpoints: []permission.EndpointGrant{{Endpoint: "a", Access: permission.Read}}})
	if got := needsOf([]keys.UsageOf{did("rest// read")}, &kept)["rest"].detail(); !strings.Contains(got, "as it is now") {
		t.Errorf("told %q", got)
	}
}
