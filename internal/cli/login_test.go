package cli

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-keywarden/keywarden/caddymodule"
)

func (c *console) loginFile() string {
	return filepath.Join(c.env["XDG_CONFIG_HOME"], "keywarden", "credentials.json")
}

func TestLoginChecksTheKeyAndSavesIt(t *testing.T) {
	g := newGateway(t)
	c := newConsole(t)
	r := c.types(g.adminKey+"\n").ok("login", g.url)
	if r.out != "" || strings.Contains(r.err, g.adminKey) || !strings.Contains(r.err, "Logged in at "+g.url) {
		t.Errorf("got %+v", r)
	}
	if info, err := os.Stat(c.loginFile()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	c.ok("keys", "list")
	if r := c.ok("logout"); !strings.Contains(r.err, "Logged out") {
		t.Errorf("got %+v", r)
	}
	c.fails(1, "keywarden login", "keys", "list")
	c.ok("logout")
}

func TestARefusedKeyIsNotSaved(t *testing.T) {
	g := newGateway(t)
	c := newConsole(t)
	weak := g.console(t).create("no admin", "--all")
	for _, key := range []string{"kw_nonsense", weak.Secret, "with spaces in it", "é", strings.Repeat("k", 5000)} {
		if r := c.types(key+"\n").fails(1, "not logged in", "login", g.url); strings.Contains(r.err, key) {
			t.Errorf("the key is shown: %s", r.err)
		}
	}
	c.types("\n").fails(1, "no key was given", "login", g.url)
	c.fails(1, "standard input is empty", "login", g.url)
	if _, err := os.Stat(c.loginFile()); !os.IsNotExist(err) {
		t.Errorf("a login is saved: %v", err)
	}
}

func TestAFailedLoginKeepsTheSavedOne(t *testing.T) {
	g := newGateway(t)
	c := newConsole(t)
	c.types(g.adminKey).ok("login", g.url)
	c.types("nonsense").fails(1, "not logged in", "login")
	c.ok("keys", "list")
	c.types(g.console(t).create("admin", "--admin", "read").Secret).ok("login") // at the saved address
	c.fails(1, "insufficient_access", "keys", "create", "x", "--all")
}

func TestWithoutALoginTheErrorSaysHowToLogIn(t *testing.T) {
	c := newConsole(t)
	r := c.fails(1, "no admin key for http://localhost:2020", "keys", "list")
	for _, want := range []string{"keywarden login", "keywarden login --config Caddyfile", "KEYWARDEN_ADMIN_KEY"} {
		if !strings.Contains(r.err, want) {
			t.Errorf("%s\nlacks %q", r.err, want)
		}
	}
}

func TestASavedKeyIsSentToNoOtherAddress(t *testing.T) {
	g := newGateway(t)
	var asked atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	defer other.Close()
	c := newConsole(t)
	c.types(g.adminKey).ok("login", g.url)
	c.fails(1, "the saved login is for "+g.url, "keys", "list", "--address", other.URL)
	c.env[envAddress] = other.URL
	c.fails(1, "keywarden login "+other.URL, "keys", "list")
	if asked.Load() {
		t.Error("the other address was asked")
	}
	c.ok("keys", "list", "--address", g.url+"/")
}

func TestFlagComesBeforeEnvironmentBeforeSavedLogin(t *testing.T) {
	g := newGateway(t)
	c := g.console(t)
	c.env[envAddress] = "http://localhost:1"
	c.ok("keys", "list", "--address", g.url)
	c.fails(1, "calling http://localhost:1", "keys", "list")
	delete(c.env, envAddress)
	// Without a key nobody is called: on a developer's machine a gateway may
	// listen at the default address.
	delete(c.env, envKey)
	c.fails(1, "no admin key for http://localhost:2020", "keys", "list")
	c.types(g.adminKey+"\n").ok("login", g.url)
	c.ok("keys", "list")
	c.env[envKey] = "nonsense"
	c.fails(1, "The admin key was refused", "keys", "list")
}

func TestLoginSaysWhereTheEnvironmentOverrulesIt(t *testing.T) {
	g := newGateway(t)
	c := g.console(t)
	c.env[envAddress] = "http://localhost:1"
	r := c.types(g.adminKey).ok("login", g.url)
	if !strings.Contains(r.err, "KEYWARDEN_ADMIN_KEY is set") || !strings.Contains(r.err, "KEYWARDEN_ADDRESS is set to another address") {
		t.Errorf("got %s", r.err)
	}
}

func TestPlainHTTPToAnotherMachineIsWarnedOf(t *testing.T) {
	c := newConsole(t)
	c.env[envKey], c.env["NO_PROXY"] = "kw_x", "*"
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nobody is to be called
	if r := c.runContext(ctx, "keys", "list", "--address", "http://192.0.2.1"); r.status != 1 || !strings.Contains(r.err, "plain http") {
		t.Errorf("got %+v", r)
	}
}

func TestADamagedLoginIsReplacedByTheNext(t *testing.T) {
	g := newGateway(t)
	c := newConsole(t)
	must(t, os.MkdirAll(filepath.Dir(c.loginFile()), 0o700))
	must(t, os.WriteFile(c.loginFile(), []byte(`{"address":`), 0o644))
	c.fails(1, "is damaged; log in again", "keys", "list")
	c.types(g.adminKey).ok("login", g.url)
	c.ok("keys", "list")
}

func TestALoginThatOthersCanReadIsWarnedOf(t *testing.T) {
	g := newGateway(t)
	c := newConsole(t)
	c.types(g.adminKey).ok("login", g.url)
	must(t, os.Chmod(c.loginFile(), 0o640))
	if r := c.ok("keys", "list"); !strings.Contains(r.err, "chmod 600") {
		t.Errorf("got %s", r.err)
	}
}

// here lets a console read configurations on this machine, as the binary does.
func (c *console) here() *console {
	c.options.Hostname = func() (string, error) { return "build-7", nil }
	c.options.OpenGateway = func(ctx context.Context, file, adapter string) (Gateway, error) {
		g, err := caddymodule.OpenGateway(ctx, file, adapter)
		if err != nil {
			return nil, err
		}
		return g, nil
	}
	return c
}

// caddyfile writes a configuration of the gateway.
func (g *gateway) caddyfile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Caddyfile")
	must(t, os.WriteFile(path, []byte("{\n\tapi_keys {\n\t\tstore sqlite "+g.database+"\n\t}\n}\n"+g.url+" {\n\tapi_key_admin\n}\n"), 0o600))
	return path
}

func TestLoginOnTheGatewaysMachineMakesAnAdminKeyOnce(t *testing.T) {
	g := newGateway(t)
	c := newConsole(t).here()
	config := g.caddyfile(t)
	r := c.ok("login", "--config", config)
	if !strings.Contains(r.err, `Made the admin key "cli@build-7" and logged in at `+g.url) {
		t.Errorf("got %s", r.err)
	}
	list := c.ok("keys", "list", "--json").out
	if strings.Count(list, `"id"`) != 1 || !strings.Contains(list, `"cli@build-7"`) || !strings.Contains(list, `"admin":"write"`) {
		t.Errorf("got %s", list)
	}
	if r := c.ok("login", "--config", config); !strings.Contains(r.err, "logged in") || !strings.Contains(r.err, "no key was made") {
		t.Errorf("the second time: %s", r.err)
	}
	if list := c.ok("keys", "list", "--json").out; strings.Count(list, `"id"`) != 1 {
		t.Errorf("got %s", list)
	}
}

func TestLoginOnTheGatewaysMachineMakesAKeyWhereTheSavedOneIsGone(t *testing.T) {
	g := newGateway(t)
	c := newConsole(t).here()
	config := g.caddyfile(t)
	c.ok("login", "--config", config)
	var first struct{ ID string }
	c.decode(strings.TrimSuffix(strings.TrimPrefix(c.ok("keys", "list", "--json").out, `{"data":[`), "]}\n"), &first)
	g.console(t).ok("keys", "disable", first.ID)
	c.fails(1, "disabled_key", "keys", "list")
	c.ok("login", "--config", config)
	c.ok("keys", "list")
}

func TestLoginOnTheGatewaysMachineWorksWhileItIsStopped(t *testing.T) {
	g := newGateway(t)
	g.server.Close()
	c := newConsole(t).here()
	if r := c.ok("login", "--config", g.caddyfile(t)); !strings.Contains(r.err, "could not be tried") || !strings.Contains(r.err, "Made the admin key") {
		t.Errorf("got %s", r.err)
	}
	if r := c.ok("login", "--config", g.caddyfile(t)); !strings.Contains(r.err, "no key was made") {
		t.Errorf("got %s", r.err)
	}
}

func TestLoginWithAnotherStoreThanTheGatewaysIsNoticed(t *testing.T) {
	g := newGateway(t)
	c := newConsole(t).here()
	other := &gateway{url: g.url, database: filepath.Join(t.TempDir(), "keys.db")}
	c.fails(1, "uses another one", "login", "--config", other.caddyfile(t))
	if _, err := os.Stat(c.loginFile()); !os.IsNotExist(err) {
		t.Errorf("a key that does not work is saved: %v", err)
	}
}

func TestConfigurationsThatCannotBeReadAreExplained(t *testing.T) {
	c := newConsole(t).here()
	dir := t.TempDir()
	write := func(text string) string {
		path := filepath.Join(dir, "Caddyfile")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	c.fails(1, "no such file", "login", "--config", filepath.Join(dir, "none"))
	c.fails(1, "Caddyfile:1", "login", "--config", write("localhost {\n"))
	c.fails(1, "api_key_admin", "login", "--config", write("http://localhost:9 {\n}\n"))
	c.fails(2, "expected a file", "login", "--config=")
}

func TestNoKeyIsMadeThatCouldNotBeSaved(t *testing.T) {
	g := newGateway(t)
	c := newConsole(t).here()
	must(t, os.WriteFile(filepath.Join(c.env["XDG_CONFIG_HOME"], "keywarden"), nil, 0o600))
	c.fails(1, "login", "login", "--config", g.caddyfile(t))
	if list := g.console(t).ok("keys", "list"); list.out != "" {
		t.Errorf("there is %s", list.out)
	}
}
