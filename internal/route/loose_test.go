package route

import (
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// What a path that an upstream could take for another one is for.
func TestNobodySlipsPastAMoreSpecificPattern(t *testing.T) {
	table := mustCompile(t, Config{
		Public: sources("/docs/*", "/open", "/docs/private/logo"),
		APIs: []API{
			{Name: "private", Paths: sources("/docs/private/*"), Endpoints: []EndpointDecl{endpoint("deep", "/docs/private/deep/*")}},
			{Name: "rest", Paths: sources("/rest/*"), Endpoints: []EndpointDecl{endpoint("users", "/rest/users"), endpoint("kilo", "/rest/kilo/*"), endpoint("é", "/rest/É")}},
			{Name: "v", Paths: sources("/v/{endpoint}/*", "/v/{endpoint}")},
			{Name: "upper", Paths: sources("/Case/*")},
			{Name: "lower", Paths: sources("/case/*")},
			{Name: "slash", Paths: sources("/s")},
			{Name: "slashed", Paths: sources("/s/")},
		},
	})
	long := strings.Repeat("x", 129)
	for path, want := range map[string]string{
		"/docs/x":                           "public",
		"/docs/private/x":                   "private read",
		"/docs/PRIVATE/x":                   "private read",
		"/docs/Private":                     "private read",
		"/docs/private":                     "private read",
		"/docs/private/":                    "private read",
		"/docs/private/logo":                "public",
		"/docs/private/logo/":               "private read",
		"/docs/private/LOGO":                "private read",
		"/docs/PRIVATE/logo":                "private read",
		"/docs/Private/Deep/x":              "private/deep+private read",
		"/docs/private/Deep/x":              "private+private/deep read",
		"/Docs/x":                           "none",
		"/open":                             "public",
		"/open/":                            "none",
		"/rest/users":                       "rest/users read",
		"/rest/users/":                      "rest+rest/users read",
		"/rest/Users":                       "rest+rest/users read",
		"/rest/USERS/":                      "rest+rest/users read",
		"/rest/u\u017fers":                  "rest+rest/users read",
		"/rest/\u212Ailo/x":                 "rest+rest/kilo read",
		"/rest/K\u0131lo/x":                 "rest+rest/kilo read",
		"/rest/kilo":                        "rest+rest/kilo read",
		"/rest/É":                           "rest/é read",
		"/rest/é":                           "rest+rest/é read",
		"/rest/users/x":                     "rest read",
		"/rest/other/":                      "rest read",
		"/rest/" + long:                     "rest read",
		"/v/a":                              "v/a read",
		"/v/a/":                             "v/a read",
		"/v/A/x":                            "v/A read",
		"/v/" + long:                        "none",
		"/v/" + long + "/x":                 "none",
		"/Case/x":                           "upper read",
		"/case/x":                           "lower read",
		"/CASE/x":                           "none",
		"/s":                                "slash read",
		"/s/":                               "slashed read",
		"":                                  "none",
		"rest/users":                        "none",
		"/rest/\xff":                        "rest read",
		"/v/\xff":                           "none",
		"/v/a\x00":                          "none",
		"/v/" + long[:128]:                  "v/" + long[:128] + " read",
		"/rest/" + long + "/us":             "rest read",
		"/rest/" + strings.Repeat("É", 300): "rest read",
	} {
		if got := show(table.Match("GET", path, NoUpgrade)); got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
	}
}

func TestACaptureThatIsNoEndpointDoesNotFallBackToABroaderPattern(t *testing.T) {
	table := mustCompile(t, Config{Public: sources("/*"), APIs: []API{{Name: "v", Paths: sources("/v/{endpoint}/*")}}})
	path := "/v/" + strings.Repeat("x", 129) + "/run"
	if got := show(table.Match("GET", path, NoUpgrade)); got != "none" {
		t.Errorf("it is %s", got)
	}
	if got := show(table.Match("GET", "/V"+path[2:], NoUpgrade)); got != "none" {
		t.Errorf("in capitals it is %s", got)
	}
}

func TestTooManyReadingsMatchNothing(t *testing.T) {
	c := Config{APIs: []API{api("all", "/*")}}
	for i := 1; i <= 9; i++ {
		c.APIs = append(c.APIs, api("a"+string(rune('0'+i)), strings.Repeat("/a", i)+"/*"))
	}
	table := mustCompile(t, c)
	same := Config{APIs: []API{api("all", "/*"), {Name: "one"}}}
	upper := Config{APIs: []API{api("upper", strings.Repeat("/A", 9)+"/*")}}
	for i := 1; i <= 9; i++ {
		same.APIs[1].Paths = append(same.APIs[1].Paths, Source{Pattern: strings.Repeat("/a", i) + "/*"})
		upper.APIs = append(upper.APIs, api("a"+string(rune('0'+i)), strings.Repeat("/a", i)+"/*"))
	}
	if got := show(mustCompile(t, same).Match("GET", strings.Repeat("/A", 9)+"/x", NoUpgrade)); got != "all+one read" {
		t.Errorf("nine patterns of one API: %s", got)
	}
	if got := show(mustCompile(t, upper).Match("GET", strings.Repeat("/A", 9)+"/x", NoUpgrade)); got != "upper read" {
		t.Errorf("nine that are as broad or broader: %s", got)
	}
	for n, want := range map[int]string{1: "all+a1 read", 3: "all+a3+a2+a1 read", 4: "none", 9: "none"} {
		if got := show(table.Match("GET", strings.Repeat("/A", n)+"/x", NoUpgrade)); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestTheLeastOfTheAccessesCounts(t *testing.T) {
	table := mustCompile(t, Config{APIs: []API{{Name: "rest", Paths: sources("/rest/*"), Endpoints: []EndpointDecl{endpoint("users", "/rest/users")}}, api("other", "/rest/other/*")}})
	set, err := permission.NewRestricted(
		permission.Grant{API: "rest", ByEndpoint: true, Endpoints: []permission.EndpointGrant{{Endpoint: "users", Access: permission.Write}}},
		permission.Grant{API: "other", Access: permission.Read})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path   string
		set    permission.Set
		target string
		want   permission.Access
	}{
		{"/rest/users", set, "rest/users", permission.Write},
		{"/rest/users/", set, "rest/", permission.None},
		{"/rest/users/", permission.Set{Mode: permission.All}, "rest/", permission.Write},
		{"/rest/other/x", set, "other/", permission.Read},
		{"/rest/OTHER/x", permission.Set{Mode: permission.ReadOnly}, "rest/", permission.Read},
	} {
		m, matched := table.Match("GET", c.path, NoUpgrade)
		target, has := m.Granted(&c.set)
		if !matched || has != c.want || target.API.Name+"/"+target.Endpoint != c.target {
			t.Errorf("%s: %s on %s/%s, want %s on %s", c.path, has, target.API.Name, target.Endpoint, c.want, c.target)
		}
	}
	var public Match
	if _, has := public.Granted(&set); has != permission.None {
		t.Errorf("without an API: %s", has)
	}
}
