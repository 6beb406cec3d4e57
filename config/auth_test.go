package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const contractJSON = `{
	"realm": "Acme API",
	"credentials": {"bearer": true, "headers": ["X-API-Key"], "queries": ["key"], "basic": true},
	"public": ["/healthz", "/docs/*"],
	"preflight": "pass",
	"forward_credential": true,
	"apis": [
		{"name": "graphql", "title": "GraphQL API", "paths": ["/graphql"], "graphql": {}},
		{"name": "serverless", "paths": ["/v2/{endpoint}/*"], "rules": [
			{"access": "read", "methods": ["POST"], "paths": ["/v2/{endpoint}/status/*"]},
			{"access": "write", "methods": ["GET"], "paths": ["/v2/{endpoint}/purge"]}]},
		{"name": "rest", "paths": ["/rest/*"],
			"endpoints": [{"name": "users", "paths": ["/rest/users", "/rest/users/*"]}],
			"rules": [{"access": "read", "methods": ["POST"], "paths": ["/rest/search"]}]},
		{"name": "rpc", "paths": ["/rpc"], "jsonrpc": {"read": ["get*"], "max_body": 2000000}}
	]
}`

func TestTheContractsConfigurationComesBackAsItWent(t *testing.T) {
	var auth, back Auth
	if err := json.Unmarshal([]byte(contractJSON), &auth); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(auth)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(auth, back); diff != "" {
		t.Fatalf("(-went +came):\n%s", diff)
	}
}

func TestTheContractsConfigurationCompiles(t *testing.T) {
	var auth Auth
	if err := json.Unmarshal([]byte(contractJSON), &auth); err != nil {
		t.Fatal(err)
	}
	table, err := auth.Compile()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, api := range table.APIs() {
		names = append(names, api.Name)
	}
	if diff := cmp.Diff([]string{"graphql", "serverless", "rest", "rpc"}, names); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

func TestAnEmptyHandlerCompilesAndDeniesAll(t *testing.T) {
	if _, err := new(Auth).Compile(); err != nil {
		t.Fatal(err)
	}
}

func TestEveryFaultOfTheHandlerIsToldAtOnce(t *testing.T) {
	auth := Auth{
		Realm: `a"b`, Preflight: "maybe",
		Credentials: &Credentials{Headers: []string{"Host", "X Y", "X-Auth-Key-Id", "x_auth_api", "Cookie", "A", "a"}, Queries: []string{"", "k", "K"}},
		Public:      []Pattern{{Text: "no-slash", Where: "Caddyfile:3"}},
		APIs: []API{
			{Name: "Bad Name", Where: "Caddyfile:4", Paths: []Pattern{{Text: "/a"}}},
			{Name: "b", Where: "Caddyfile:5", Paths: []Pattern{{Text: "/b"}}, GraphQL: &GraphQL{MaxBody: -1}, Rules: []Rule{{Access: "all", Paths: []Pattern{{Text: "/b"}}}}},
		},
	}
	_, err := auth.Compile()
	if err == nil {
		t.Fatal("nothing was refused")
	}
	for _, want := range []string{
		`realm "a\"b": expected`, `preflight "maybe": expected pass or deny`, "header Host cannot hold a key", `header "X Y"`,
		"header X-Auth-Key-Id cannot", "header x_auth_api cannot", "header Cookie cannot", "header a is listed twice",
		`query parameter ""`, "query parameter K is listed twice", "Caddyfile:3: ", "Caddyfile:4: ",
		`Caddyfile:5: api "b": a rule's access is "all": expected read or write`, `api "b": graphql.max_body -1`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestNoCredentialAtAllIsAMistake(t *testing.T) {
	if err := new(Credentials).Validate(); err == nil || !strings.Contains(err.Error(), "expected one or more of bearer") {
		t.Fatalf("%v", err)
	}
}

func TestDefaultCredentialsAreValid(t *testing.T) {
	c := DefaultCredentials()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Credentials{Bearer: true, Headers: []string{"X-API-Key"}}, c); diff != "" {
		t.Fatal(diff)
	}
}

func TestBodiesThatAreReadAreBounded(t *testing.T) {
	for n, valid := range map[int64]bool{0: true, 1: true, MaxBodyLimit: true, MaxBodyLimit + 1: false, -1: false} {
		for _, api := range []API{
			{Name: "a", Paths: []Pattern{{Text: "/a"}}, GraphQL: &GraphQL{MaxBody: n}},
			{Name: "a", Paths: []Pattern{{Text: "/a"}}, JSONRPC: &JSONRPC{MaxBody: n}},
		} {
			auth := Auth{APIs: []API{api}}
			if _, err := auth.Compile(); (err == nil) != valid {
				t.Errorf("max_body %d: %v, want valid %t", n, err, valid)
			}
		}
	}
}
