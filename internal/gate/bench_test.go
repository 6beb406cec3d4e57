package gate

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/route"
)

// twoHundredPatterns is a table as large as the goal names.
func twoHundredPatterns() route.Config {
	config := route.Config{Public: sources("/healthz", "/docs/*")}
	for i := range 66 {
		config.APIs = append(config.APIs, route.API{
			Name:      fmt.Sprintf("api-%d", i),
			Paths:     sources(fmt.Sprintf("/a%d/{endpoint}/*", i), fmt.Sprintf("/b%d/*", i)),
			Endpoints: []route.EndpointDecl{{Name: "users", Patterns: sources(fmt.Sprintf("/b%d/users/*", i))}},
			Rules:     []route.Rule{{Access: permission.Read, Methods: []string{"POST"}, Patterns: sources(fmt.Sprintf("/a%d/{endpoint}/status/*", i))}},
		})
	}
	return config
}

// The floor that the goals are told by: at most 8 of these a decision.
func BenchmarkSHA256Of40Bytes(b *testing.B) {
	text := []byte("kw_0123456789abcdefghijABCDEFGHIJ0123456")[:40]
	b.ReportAllocs()
	for b.Loop() {
		_ = sha256.Sum256(text)
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, size := range []int{1, 1_000_000} {
		b.Run(fmt.Sprintf("cached=%d", size), func(b *testing.B) {
			o := testOptions
			o.MaxKeys = int64(2*size + 1000)
			bench := newBench(b, o)
			g := bench.gate(b, twoHundredPatterns(), DefaultCredentials())
			requests := bench.remembered(b, size)
			now := time.Now()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 7919) % len(requests)
				d := g.Decide(requests[i], now)
				if d.Outcome != Allowed {
					b.Fatal(d.Outcome)
				}
			}
		})
	}
}

// remembered puts size keys into the cache and returns a request for some of them.
func (b *bench) remembered(t testing.TB, size int) []*http.Request {
	t.Helper()
	set, err := permission.NewRestricted(permission.Grant{API: "api-33", ByEndpoint: true, Endpoints: []permission.EndpointGrant{{Endpoint: "abc123", Access: permission.Write}}})
	if err != nil {
		t.Fatal(err)
	}
	var requests []*http.Request
	const most = 100_000
	for i := range size {
		secret, err := keys.NewSecret("kw", nil)
		if err != nil {
			t.Fatal(err)
		}
		d := secret.Digest()
		id := keys.NewIdentity(d, keys.Names{ID: keys.NewID(), Name: "ci", Owner: "team-7", Prefix: secret.Prefix()},
			&keys.Rights{Permissions: set, Enabled: true}, 0)
		b.lookup.cache.Put(b.lookup.cache.Ticket(&d), id, time.Since(b.lookup.start))
		if i%1000 == 0 {
			b.lookup.cache.Wait()
		}
		if i < most {
			requests = append(requests, request("POST", "/a33/abc123/run", "", "Authorization", "Bearer "+secret.Reveal(),
				"User-Agent", "curl/8.0", "Accept", "*/*", "Content-Type", "application/json", "Accept-Encoding", "gzip"))
		}
	}
	b.lookup.cache.Wait()
	return requests
}

func BenchmarkRefuseBadChecksum(b *testing.B) {
	bench := newBench(b, testOptions)
	g := bench.gate(b, twoHundredPatterns(), DefaultCredentials())
	r := request("POST", "/a33/abc123/run", "", "Authorization", "Bearer kw_0123456789abcdefghijABCDEFGHIJ01000000")
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if d := g.Decide(r, now); d.Outcome != UnknownKey {
			b.Fatal(d.Outcome)
		}
	}
}
