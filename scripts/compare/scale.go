package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/caddy-keywarden/keywarden/scripts/internal/program"
)

// scale is what a large case has more of than the usual one.
type scale struct {
	keys          int // in the store
	cached        int // in the cache, before requests come
	apis          int // declared, each with so many endpoints
	endpoints     int
	grants        int // endpoints that each key may use, one by one
	needsPostgres bool
}

// largeRounds is how often a large case is measured: each start fills a cache.
const largeRounds = 3

// largeTimes is how many times as long as the others it is measured.
const largeTimes = 8

// sampled bounds how many of the keys are used: the load generator holds a
// prepared request for each.
const sampled = 100_000

// The large cases, each beside the small one, "Keywarden", in the same table.
// They take some minutes to fill, and so come with -scale only.
func largeCases() []subject {
	large := func(name, does, store string, s scale) subject {
		return subject{
			name: "Keywarden, " + name, family: bareCaddy, does: does, program: "keywarden", args: caddyRun, imports: true, scale: &s,
			config: caddyfile(s.options(store), s.auth()+proxy) + ourSite,
		}
	}
	const sqlite, postgres = "sqlite {DIR}/keys.db", "postgres {POSTGRES}"
	return []subject{
		large("1 000 000 keys", "all of them cached", sqlite, scale{keys: 1_000_000, cached: 1_000_000}),
		large("10 000 000 keys", "in Postgres, 1 000 000 of them cached", postgres, scale{keys: 10_000_000, cached: 1_000_000, needsPostgres: true}),
		large("100 000 endpoints", "100 APIs with 1 000 each", sqlite, scale{keys: 10_000, apis: 100, endpoints: 1000}),
		large("1 000 grants a key", "the same, and each key may use 1 000 endpoints", sqlite, scale{keys: 10_000, apis: 100, endpoints: 1000, grants: 1000}),
	}
}

// options are the global ones.
func (s *scale) options(store string) string {
	cache := ""
	if s.cached > 0 {
		cache = fmt.Sprintf("\t\tcache {\n\t\t\tmax_keys %d\n\t\t\twarm %[1]d\n\t\t}\n", s.cached)
	}
	return "\tapi_keys {\n\t\tstore " + store + "\n\t\tadmin_key {ADMINKEY}\n" + cache + "\t}\n"
}

// auth is the site's directive, with all APIs.
func (s *scale) auth() string {
	if s.apis == 0 {
		return auth
	}
	var b strings.Builder
	b.WriteString("\tapi_key_auth {\n")
	for api := range s.apis {
		fmt.Fprintf(&b, "\t\tapi %s {\n\t\t\tpath /%[1]s/*\n", apiName(api))
		for e := range s.endpoints {
			fmt.Fprintf(&b, "\t\t\tendpoint %s /%s/%[1]s /%[2]s/%[1]s/*\n", endpointName(e), apiName(api))
		}
		b.WriteString("\t\t}\n")
	}
	return b.String() + "\t}\n"
}

func apiName(i int) string      { return fmt.Sprintf("api-%02d", i) }
func endpointName(i int) string { return fmt.Sprintf("endpoint-%03d", i) }

// target is what key number i asks for.
func (s *scale) target(i int) string {
	if s.apis == 0 {
		return usualTarget
	}
	return fmt.Sprintf("/%s/%s/7", apiName(s.apiOf(i)), endpointName(i%s.endpoints))
}

// apiOf is the API that key number i is for.
func (s *scale) apiOf(i int) int { return i / s.endpoints % s.apis }

// permissions are those of key number i.
func (s *scale) permissions(i int) map[string]any {
	if s.grants == 0 {
		return map[string]any{"mode": "all"}
	}
	endpoints := map[string]string{}
	for e := range s.grants {
		endpoints[endpointName(e)] = "read"
	}
	return map[string]any{"mode": "restricted", "apis": map[string]any{apiName(s.apiOf(i)): map[string]any{"access": "restricted", "endpoints": endpoints}}}
}

// prepare fills the store of a large case. It stays so from round to round.
func (w *world) prepare(ctx context.Context, s *subject) (err error) {
	p, err := w.spawn(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	if err := p.Await(ctx, "http://"+w.back+"/readyz"); err != nil {
		return err
	}
	file, err := os.Create(w.requestsFile(s))
	if err != nil {
		return err
	}
	requests := bufio.NewWriter(file)
	err = w.fill(ctx, s, requests)
	return errors.Join(err, requests.Flush(), file.Close())
}

// fill brings the keys in, and writes down what is asked with some of them.
func (w *world) fill(ctx context.Context, s *subject, requests io.Writer) error {
	const most, shown = 10_000, 1_000_000
	some := most / max(1, s.scale.grants/30) // a body may have 8 MiB
	// The gateway reads one batch while the store writes another.
	imports, ctx := errgroup.WithContext(ctx)
	imports.SetLimit(2)
	fmt.Fprintf(os.Stderr, "%s: bringing in %d keys\n", s.name, s.scale.keys)
	for first := 0; first < s.scale.keys && ctx.Err() == nil; first += some {
		var batch []program.Key
		for i := first; i < min(first+some, s.scale.keys); i++ {
			secret, err := program.NewSecret()
			if err != nil {
				return err
			}
			batch = append(batch, program.Key{Secret: secret, Permissions: s.scale.permissions(i)})
			if i%max(1, s.scale.keys/sampled) == 0 {
				if _, err := fmt.Fprintf(requests, "%s\t%s\n", secret, s.scale.target(i)); err != nil {
					return err
				}
			}
		}
		imports.Go(func() error { return program.Import(ctx, w.back, batch) })
		if done := first + some; done/shown != first/shown {
			fmt.Fprintf(os.Stderr, "%s: %d brought in\n", s.name, done)
		}
	}
	return imports.Wait()
}

// requestsFile is where a subject's requests are, a secret and a target a line.
func (w *world) requestsFile(s *subject) string {
	if s.scale != nil {
		return filepath.Join(w.dir, s.id(), "requests")
	}
	if s.basic {
		return w.basicFile
	}
	return w.keysFile
}

// used is how many keys are used, of so many that there are usually.
func (s *subject) used(usual int) int {
	if s.scale != nil {
		return min(sampled, s.scale.keys)
	}
	return usual
}
