package route

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Matching must not grow with the number of patterns; compare the lines.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 200, 10_000} {
		table := mustCompile(b, manyPatterns(n))
		for _, c := range []struct{ name, path string }{
			{"captured", "/v1/abc123/run/now"},
			{"literal", "/v1/users/7"},
			{"rule", "/v1/users/purge"},
			{"capitals", "/v1/Users/7"},
			{"none", "/nowhere/at/all"},
		} {
			b.Run(fmt.Sprintf("%s/patterns=%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					table.Match(http.MethodGet, c.path, NoUpgrade)
				}
			})
		}
	}
}

func BenchmarkAmbiguous(b *testing.B) {
	r := received(b, "POST", "/v1/abc123/run/now?x=y", "Accept: */*", "Accept-Encoding: gzip", "Authorization: Bearer x",
		"Content-Length: 2", "Content-Type: application/json", "User-Agent: curl/8", "X-Request-Id: 1", "X-Forwarded-For: 1")
	b.ReportAllocs()
	for b.Loop() {
		if Ambiguous(r) != "" || !MethodAllowed(r) || UpgradeOf(r) != NoUpgrade {
			b.Fatal("refused")
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{200, 10_000} {
		c := manyPatterns(n)
		b.Run(fmt.Sprintf("patterns=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustCompile(b, c)
			}
		})
	}
}

func BenchmarkClassify(b *testing.B) {
	query := "query Q($id: ID!) {user(id: $id) {name email posts(first: 10) {nodes {id title ...F}}}} fragment F on Post {body author {name}}"
	rpc := rpcAPI(b, "eth_*")
	for _, c := range []struct {
		name string
		api  *API
		body string
	}{
		{"graphql", graphQLAPI, graphQLBody(query, `"operationName":"Q"`, `"variables":{"id":"1"}`)},
		{"graphql, 100 kB of variables", graphQLAPI, graphQLBody(query, `"variables":{"rows":[`+strings.TrimSuffix(strings.Repeat(`{"id":1,"name":"x"},`, 5_000), ",")+`]}`)},
		{"jsonrpc", rpc, call("eth_call")},
	} {
		r := post("application/json", "")
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.api.Classify(r, []byte(c.body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSHA256 is the yardstick: the goals are told in multiples of it,
// because machines differ.
func BenchmarkSHA256(b *testing.B) {
	secret := make([]byte, 40)
	for b.Loop() {
		sha256.Sum256(secret)
	}
}
