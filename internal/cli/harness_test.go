package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/fleet"
	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/route"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// gateway is a real admin API over a real store, as the gateway serves it.
type gateway struct {
	url      string
	adminKey string // of the configuration
	database string
	store    keys.Store
	server   *httptest.Server
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{database: filepath.Join(t.TempDir(), "data", "keys.db")}
	var lookup *gate.Lookup
	store, err := sqlite.Open(t.Context(), g.database, keys.Options{OnCommit: func(c keys.Change) { lookup.Apply(c) }})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	g.store = store
	lookup, err = gate.NewLookup(store, gate.LookupOptions{MaxKeys: 1000, TTL: time.Minute, UnknownTTL: time.Minute, UnknownRate: 1000})
	must(t, err)
	t.Cleanup(lookup.Close)

	auth := gate.NewAuthenticator(gate.DefaultCredentials(), keys.DefaultPrefix, lookup)
	catalog := gate.NewCatalog(gate.New(gate.Options{Authenticator: auth, Table: testTable(t)}))
	secret, err := keys.NewSecret(keys.DefaultPrefix, nil)
	must(t, err)
	g.adminKey = secret.Reveal()
	digest := secret.Digest()
	member := fleet.New(fleet.Options{Store: store, Name: "gw-1:1"})
	must(t, member.Tell(t.Context()))
	handler, err := admin.New(admin.Options{
		Store: store, Fleet: member, Authenticator: auth, ConfigAdmin: &digest,
		Catalog: func() *gate.Catalog { return catalog },
	})
	must(t, err)
	g.server = httptest.NewServer(handler)
	t.Cleanup(g.server.Close)
	g.url = g.server.URL
	return g
}

// testTable declares the APIs of the contract's example.
func testTable(t *testing.T) *route.Table {
	t.Helper()
	paths := func(patterns ...string) (out []route.Source) {
		for _, p := range patterns {
			out = append(out, route.Source{Pattern: p})
		}
		return out
	}
	table, err := route.Compile(route.Config{
		Public: paths("/healthz"),
		APIs: []route.API{
			{Name: "graphql", Paths: paths("/graphql"), GraphQL: &route.GraphQL{}},
			{Name: "serverless", Paths: paths("/v2/{endpoint}/*")},
			{Name: "rest", Paths: paths("/rest/*"), Rules: []route.Rule{
				{Access: permission.Read, Methods: []string{"POST"}, Patterns: paths("/rest/search")},
			}},
		},
	})
	must(t, err)
	return table
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// console is somebody at a shell: an environment, and what they type.
type console struct {
	t       *testing.T
	env     map[string]string
	stdin   io.Reader
	options Options
	batch   int // how many keys an import sends at a time; 0: the usual
}

// newConsole returns a shell in which nobody has logged in anywhere.
func newConsole(t *testing.T) *console {
	return &console{t: t, env: map[string]string{"XDG_CONFIG_HOME": t.TempDir()}}
}

// console returns a shell with the gateway's address and admin key in its
// environment.
func (g *gateway) console(t *testing.T) *console {
	c := newConsole(t)
	c.env[envAddress], c.env[envKey] = g.url, g.adminKey
	return c
}

func (c *console) types(text string) *console {
	c.stdin = strings.NewReader(text)
	return c
}

// result is how a command ended.
type result struct {
	status   int
	out, err string
}

// run runs a command as the binary would, up to the exit of the process.
func (c *console) run(args ...string) result {
	c.t.Helper()
	return c.runContext(c.t.Context(), args...)
}

func (c *console) runContext(ctx context.Context, args ...string) result {
	c.t.Helper()
	var out, errs bytes.Buffer
	status := c.execute(ctx, &out, &errs, args...)
	c.stdin = nil
	return result{status, out.String(), errs.String()}
}

func (c *console) execute(ctx context.Context, out, errs io.Writer, args ...string) int {
	c.t.Helper()
	o := c.options
	o.Getenv = func(name string) string { return c.env[name] }
	p := newProgram(o, func(_ *cobra.Command, err *statusError) error { return err })
	if c.batch > 0 {
		p.batchKeys = c.batch
	}
	root := &cobra.Command{Use: "keywarden", SilenceUsage: true} // as Caddy's
	for _, command := range p.commands() {
		cmd := &cobra.Command{Use: command.name + " " + command.usage, Short: command.short, Long: command.long}
		command.build(cmd)
		root.AddCommand(cmd)
	}
	in := c.stdin
	if in == nil {
		in = strings.NewReader("")
	}
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var ended *statusError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ended):
		return ended.status
	}
	c.t.Fatalf("%v ended with an error that has no status: %v", args, err)
	return 0
}

// ok is run for commands that must succeed.
func (c *console) ok(args ...string) result {
	c.t.Helper()
	r := c.run(args...)
	if r.status != 0 {
		c.t.Fatalf("keywarden %s: status %d\n%s%s", strings.Join(args, " "), r.status, r.out, r.err)
	}
	return r
}

// fails is run for commands that must end with a status, and say something.
func (c *console) fails(status int, says string, args ...string) result {
	c.t.Helper()
	r := c.run(args...)
	if r.status != status || !strings.Contains(r.err, says) {
		c.t.Errorf("keywarden %s: status %d, want %d and %q\n%s%s", strings.Join(args, " "), r.status, status, says, r.out, r.err)
	}
	return r
}

// create makes a key and returns it.
func (c *console) create(args ...string) admin.KeyWithSecret {
	c.t.Helper()
	var key admin.KeyWithSecret
	c.decode(c.ok(append([]string{"keys", "create", "--json"}, args...)...).out, &key)
	return key
}

// get returns a key as it is now.
func (c *console) get(id string) admin.Key {
	c.t.Helper()
	var key admin.Key
	c.decode(c.ok("keys", "get", id, "--json").out, &key)
	return key
}

func (c *console) decode(text string, into any) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		c.t.Fatalf("%v in %q", err, text)
	}
}
