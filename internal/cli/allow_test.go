package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/caddy-keywarden/keywarden/admin"
)

func TestAllowRulesCombineIntoRestrictedPermissions(t *testing.T) {
	got, err := parseAllow([]string{"graphql=read", "serverless/abc123=write", "serverless/a=b=none", "serverless/x,y=read", "rest=none"})
	if err != nil {
		t.Fatal(err)
	}
	want := &admin.Permissions{Mode: "restricted", APIs: map[string]admin.APIPermissions{
		"graphql":    {Access: "read"},
		"rest":       {Access: "none"},
		"serverless": {Access: "restricted", Endpoints: map[string]string{"abc123": "write", "a=b": "none", "x,y": "read"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAllowRefusesWhatCouldBeMeantInTwoWays(t *testing.T) {
	for name, c := range map[string]struct {
		rules []string
		says  string
	}{
		"no access":              {[]string{"graphql"}, "expected API[/ENDPOINT]=none|read|write"},
		"nothing":                {[]string{""}, "expected API[/ENDPOINT]"},
		"unknown access":         {[]string{"graphql=admin"}, `found access "admin"`},
		"access in upper case":   {[]string{"graphql=Read"}, `found access "Read"`},
		"restricted as access":   {[]string{"graphql=restricted"}, `found access "restricted"`},
		"no API":                 {[]string{"=read"}, `found API ""`},
		"API in upper case":      {[]string{"GraphQL=read"}, `found API "GraphQL"`},
		"API of 64 characters":   {[]string{strings.Repeat("a", 64) + "=read"}, "at most 63 characters"},
		"empty endpoint":         {[]string{"rest/=read"}, `found endpoint ""`},
		"endpoint with a slash":  {[]string{"rest/a/b=read"}, `found endpoint "a/b"`},
		"endpoint with control":  {[]string{"rest/a\x1bb=read"}, "found endpoint"},
		"endpoint too long":      {[]string{"rest/" + strings.Repeat("é", 129) + "=read"}, "found endpoint"},
		"endpoint not UTF-8":     {[]string{"rest/\xff=read"}, "found endpoint"},
		"API twice":              {[]string{"rest=read", "rest=read"}, "the API rest is given twice"},
		"endpoint twice":         {[]string{"rest/a=read", "rest/a=write"}, "the endpoint rest/a is given twice"},
		"whole, then endpoint":   {[]string{"rest=read", "rest/a=write"}, "as a whole and by endpoint"},
		"endpoint, then whole":   {[]string{"rest/a=read", "rest=write"}, "as a whole and by endpoint"},
		"several rules in a one": {[]string{"rest=read,graphql=write"}, `found API "rest=read,graphql"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseAllow(c.rules)
			var usage *usageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("parseAllow(%q) = %v, %v; want a usage error with %q", c.rules, got, err, c.says)
			}
		})
	}
}

func TestLongestNamesAreAllowed(t *testing.T) {
	api, endpoint := strings.Repeat("a", 63), strings.Repeat("é", 128)
	got, err := parseAllow([]string{api + "/" + endpoint + "=write"})
	if err != nil || got.APIs[api].Endpoints[endpoint] != "write" {
		t.Errorf("got %v, %v", got, err)
	}
}

// What is shown of permissions is what --allow takes: people copy it.
func TestPermissionsAreShownAsAllowTakesThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &admin.Permissions{Mode: "restricted", APIs: rapid.MapOfN(
			rapid.StringMatching(`[a-z][a-z0-9-]{0,8}`),
			rapid.Custom(func(t *rapid.T) admin.APIPermissions {
				access := rapid.SampledFrom([]string{"none", "read", "write"})
				if rapid.Bool().Draw(t, "whole") {
					return admin.APIPermissions{Access: access.Draw(t, "access")}
				}
				return admin.APIPermissions{Access: "restricted", Endpoints: rapid.MapOfN(rapid.StringMatching(`[a-zA-Z0-9=,._-]{1,8}`), access, 1, 3).Draw(t, "endpoints")}
			}), 0, 4).Draw(t, "apis")}
		got, err := parseAllow(strings.Split(permissionText(*want), " "))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}
