package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the adapter makes into the golden files")

const divider = "----------\n"

func TestCaddyfilesAdaptToTheirGoldenJSON(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			caddyfile, golden, found := strings.Cut(string(text), divider)
			if !found {
				t.Fatalf("no line %q", divider)
			}
			out, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				if !strings.Contains(w.Message, "not formatted") {
					t.Errorf("warning: %v", w)
				}
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, out, "", "\t"); err != nil {
				t.Fatal(err)
			}
			got := indented.String() + "\n"
			if *update {
				if err := os.WriteFile(file, []byte(caddyfile+divider+got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(golden, got); diff != "" {
				t.Errorf("(-golden +adapted):\n%s", diff)
			}
		})
	}
}

// validate does what `keywarden validate` does.
func validate(text []byte) error {
	var cfg caddy.Config
	if err := json.Unmarshal(text, &cfg); err != nil {
		return err
	}
	return caddy.Validate(&cfg)
}

func TestValidateTouchesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	t.Setenv("DIR", dir)
	for _, store := range []string{"", "store sqlite {$DIR}/sub/keys.db"} {
		text, err := adapt("{\nadmin off\napi_keys {\n" + store + "\n}\n}\n:0 {\napi_key_admin\n}\n:0 {\napi_key_auth\n}")
		if err != nil {
			// Two sites may not share an address; one is enough for this.
			text, err = adapt("{\nadmin off\napi_keys {\n" + store + "\n}\n}\n:0 {\napi_key_auth\napi_key_admin\n}")
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(text); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "caddy" { // Caddy's own storage
			t.Errorf("validate made %s", e.Name())
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "caddy", "keywarden")); err == nil {
		t.Error("validate made a database folder")
	}
	engines.Range(func(key, _ any) bool {
		t.Errorf("validate left the engine %v open", key)
		return true
	})
}

// refused are the mistakes of operators, each with all that the message must
// say: what was found, what was expected, and where.
var refused = []struct {
	name, global, directive string
	want                    []string
}{
	{"unknown global option", "colour red", "", []string{`unknown option "colour"`, "expected one of store, key_prefix, admin_key, cache", "Caddyfile:3"}},
	{"option twice", "key_prefix a\nkey_prefix b", "", []string{"key_prefix is given twice, first on line 3", "Caddyfile:4"}},
	{"unknown store", "store oracle x", "", []string{`store "oracle"`, "expected sqlite or postgres", "Caddyfile:3"}},
	{"store without a kind", "store", "", []string{"store: found nothing", "Caddyfile:3"}},
	{"store with too much", "store sqlite a b", "", []string{"store: found 3 arguments", "expected sqlite [PATH] or postgres ADDRESS", "Caddyfile:3"}},
	{"postgres without an address", "store postgres", "", []string{"store postgres: found no address", "such as {env.DATABASE_URL}", "Caddyfile:3"}},
	{"an address without quotes", "store postgres host=a dbname=b", "", []string{"store: found 3 arguments", "in quotes", "Caddyfile:3"}},
	{"unknown store option", "store postgres a {\npool 5\n}", "", []string{`store: unknown option "pool"`, "expected listen", "Caddyfile:4"}},
	{"listen twice", "store postgres a {\nlisten b\nlisten c\n}", "", []string{"listen is given twice, first on line 4", "Caddyfile:5"}},
	{"listen for sqlite", "store sqlite a {\nlisten b\n}", "", []string{"found listen", "with postgres only", "Caddyfile:3"}},
	{"bad prefix", "key_prefix Acme", "", []string{`key_prefix: "Acme"`, "expected 1 to 20 characters", "Caddyfile:2"}},
	{"two admin keys", "admin_key a b", "", []string{"admin_key: found 2 arguments", "Caddyfile:3"}},
	{"unknown cache option", "cache {\nsize 3\n}", "", []string{`cache: unknown option "size"`, "max_keys", "Caddyfile:4"}},
	{"cache with an argument", "cache 5 {\n}", "", []string{`cache: found "5"`, "expected a block", "Caddyfile:3"}},
	{"negative duration", "cache {\nttl -1s\n}", "", []string{`duration "-1s" is negative`, "expected a duration of 0 or more", "Caddyfile:4"}},
	{"no duration", "cache {\nunknown_ttl soon\n}", "", []string{`duration "soon"`, "such as 10s", "Caddyfile:4"}},
	{"bad rate", "cache {\nlookups 500\n}", "", []string{`rate "500"`, "such as 500/s", "Caddyfile:4"}},
	{"bad number", "cache {\nmax_keys many\n}", "", []string{`max_keys: found "many"`, "such as 100000", "Caddyfile:4"}},
	{"more keys to read at start than are kept", "cache {\nmax_keys 10\nwarm 11\n}", "", []string{"cache.warm 11: expected 0 to 10", "Caddyfile:2"}},
	{"two names of the node", "node a b", "", []string{"node: found 2 arguments", "Caddyfile:3"}},
	{"usage, another word", "usage on", "", []string{`usage: found "on"`, "expected off, or a block", "Caddyfile:3"}},
	{"usage, two words", "usage off now", "", []string{"usage: found 2 arguments", "expected off", "Caddyfile:3"}},
	{"usage for a moment", "usage {\nkeep 1h\n}", "", []string{"usage.keep 1h0m0s", "expected 1d to 3660d", "Caddyfile:2"}},
	{"usage for ever", "usage {\nkeep 20000d\n}", "", []string{"usage.keep", "expected 1d to 3660d", "Caddyfile:2"}},
	{"unknown usage option", "usage {\nfor 1d\n}", "", []string{`usage: unknown option "for"`, "expected keep", "Caddyfile:4"}},
	{"webhook without a URL", "webhook", "", []string{"webhook: found nothing", "such as https://hooks.example.com/keys", "Caddyfile:3"}},
	{"webhook of two URLs", "webhook https://a.example https://b.example", "", []string{"webhook: found 2 arguments", "Caddyfile:3"}},
	{"webhook of no URL", "webhook hooks.example.com {\nsecret {env.S}\n}", "", []string{"webhook: expected a URL", "Caddyfile:3"}},
	{"webhook over http", "webhook http://hooks.example.com {\nsecret {env.S}\n}", "", []string{"webhook: found http; expected https", "insecure allows it", "Caddyfile:3"}},
	{"webhook without a secret", "webhook https://hooks.example.com", "", []string{"webhook: secret: found none", "such as {env.WEBHOOK_SECRET}", "Caddyfile:3"}},
	{"webhook with an empty secret", "webhook https://hooks.example.com {\nsecret \"\"\n}", "", []string{"webhook: secret: expected whsec_", "Caddyfile:3"}},
	{"webhook with another secret", "webhook https://hooks.example.com {\nsecret hush\n}", "", []string{"webhook: secret: expected whsec_ and 24 to 64 random bytes", "Caddyfile:3"}},
	{"webhook with many secrets", "webhook https://hooks.example.com {\nsecret {a} {b} {c} {d} {e} {f}\n}", "", []string{"webhook: secret: found 6; expected 1 to 5", "Caddyfile:3"}},
	{"webhook of refusals", "webhook https://hooks.example.com {\nsecret {env.S}\nevents api_key_refused\n}", "", []string{"api_key_refused is an event of a request", "Caddy's global option events", "Caddyfile:3"}},
	{"webhook of an unknown event", "webhook https://hooks.example.com {\nsecret {env.S}\nevents created\n}", "", []string{`event "created": expected one of`, "Caddyfile:3"}},
	{"webhook with an event twice", "webhook https://hooks.example.com {\nsecret {env.S}\nevents api_key_leaked api_key_leaked\n}", "", []string{"api_key_leaked is given twice", "Caddyfile:3"}},
	{"webhook that waits for ever", "webhook https://hooks.example.com {\nsecret {env.S}\ntimeout 1h\n}", "", []string{"timeout 1h0m0s: expected 1s to 60s", "Caddyfile:3"}},
	{"webhook that is a little insecure", "webhook https://hooks.example.com {\nsecret {env.S}\ninsecure yes\n}", "", []string{`insecure: found "yes"`, "expected nothing", "Caddyfile:5"}},
	{"unknown webhook option", "webhook https://hooks.example.com {\nretries 5\n}", "", []string{`webhook: unknown option "retries"`, "expected one of secret, events, timeout, insecure", "Caddyfile:4"}},
	{"option of a block without the block", "cache {\nttl 1s {\n}\n}", "", []string{"Caddyfile:4"}},

	{"unknown option", "", "colour red", []string{`api_key_auth: unknown option "colour"`, "expected one of realm, credentials, public", "Caddyfile:7"}},
	{"realm twice", "", "realm a\nrealm b", []string{"realm is given twice, first on line 7", "Caddyfile:8"}},
	{"realm with quotes", "", "realm `a\"b`", []string{`realm "a\"b"`, "expected printable ASCII", "Caddyfile:7"}},
	{"unknown credential", "", "credentials cookie", []string{`credentials: found "cookie"`, "expected bearer, header NAME, query NAME or basic", "Caddyfile:7"}},
	{"credential twice", "", "credentials bearer bearer", []string{"bearer is listed twice", "Caddyfile:7"}},
	{"header without a name", "", "credentials header", []string{"found nothing after header", "Caddyfile:7"}},
	{"header twice", "", "credentials header X-A header x-a", []string{"header x-a is listed twice", "Caddyfile:7"}},
	{"identity header as credential", "", "credentials header X-Auth-Key-Id", []string{"header X-Auth-Key-Id cannot hold a key", "Caddyfile:7"}},
	{"cookie as credential", "", "credentials header Cookie", []string{"header Cookie cannot hold a key", "Caddyfile:7"}},
	{"bad header name", "", `credentials header "X A"`, []string{`header "X A"`, "Caddyfile:7"}},
	{"no credential", "", "credentials", []string{"credentials: found nothing", "Caddyfile:7"}},
	{"preflight perhaps", "", "preflight perhaps", []string{`found "perhaps"`, "expected pass or deny", "Caddyfile:7"}},
	{"forward_credential with an argument", "", "forward_credential yes", []string{`found "yes"`, "expected nothing", "Caddyfile:7"}},
	{"enforce perhaps", "", "enforce perhaps", []string{`enforce: found "perhaps"`, "expected on or off", "Caddyfile:7"}},
	{"enforce alone", "", "enforce", []string{"enforce: found nothing", "expected on or off", "Caddyfile:7"}},
	{"enforce twice", "", "enforce off\nenforce on", []string{"enforce is given twice", "Caddyfile:8"}},
	{"report_header while refusing", "", "report_header", []string{"report_header", "enforce off only", "Caddyfile:6"}},
	{"report_header with an argument", "", "enforce off\nreport_header X-A", []string{`found "X-A"`, "expected nothing", "Caddyfile:8"}},
	{"public without a pattern", "", "public", []string{"public: found nothing", "Caddyfile:7"}},
	{"api without a name", "", "api", []string{"api: found nothing", "expected a name", "Caddyfile:7"}},
	{"api with a bad name", "", "api Rest {\npath /a\n}", []string{`"Rest"`, "Caddyfile:7"}},
	{"api without a path", "", "api rest", []string{`"rest"`, "Caddyfile:7"}},
	{"api twice", "", "api a {\npath /a\n}\napi a {\npath /b\n}", []string{`"a"`, "Caddyfile:10", "Caddyfile:7"}},
	{"unknown option of an api", "", "api a {\npaths /a\n}", []string{`api a: unknown option "paths"`, "expected one of title, path", "Caddyfile:8"}},
	{"endpoint without a pattern", "", "api a {\npath /a/*\nendpoint x\n}", []string{"endpoint x: found no pattern", "Caddyfile:9"}},
	{"rule without a pattern", "", "api a {\npath /a/*\nread POST\n}", []string{"read POST: found no pattern", "Caddyfile:9"}},
	{"pattern that two APIs claim", "", "api a {\npath /a/*\n}\napi b {\npath /a/*\n}", []string{`"b"`, "/a/*", "Caddyfile:11", "Caddyfile:8"}},
	{"two captures", "", "api a {\npath /{endpoint}/{endpoint}\n}", []string{"{endpoint}", "Caddyfile:8"}},
	{"another capture", "", "api a {\npath /{id}/x\n}", []string{"{id}", "{endpoint}", "Caddyfile:8"}},
	{"star in the middle", "", "api a {\npath /a/*/b\n}", []string{"/a/*/b", "Caddyfile:8"}},
	{"graphql and jsonrpc", "", "api a {\npath /a\ngraphql\njsonrpc\n}", []string{"graphql", "jsonrpc", "Caddyfile:7"}},
	{"bad size", "", "api a {\npath /a\ngraphql {\nmax_body huge\n}\n}", []string{`max_body: found "huge"`, "such as 2MB", "Caddyfile:10"}},
	{"no size", "", "api a {\npath /a\ngraphql {\nmax_body 0\n}\n}", []string{`max_body: found "0"`, "Caddyfile:10"}},
	{"a limit without a time", "", "fail_limit 20", []string{`fail_limit: limit "20": expected a number from 1 to 100000 and a time, s, m or h, such as 20/m`, "Caddyfile:7"}},
	{"unknown grpc option", "", "api a {\npath /a\ngrpc {\nmax_body 1MB\n}\n}", []string{`grpc: unknown option "max_body"`, "expected read", "Caddyfile:10"}},
	{"grpc method without a service", "", "api a {\npath /*\ngrpc {\nread List\n}\n}", []string{`grpc read: method "List": expected Package.Service/Method`, "Caddyfile:7"}},
	{"grpc and jsonrpc", "", "api a {\npath /a\ngrpc\njsonrpc\n}", []string{"is both jsonrpc and grpc", "Caddyfile:7"}},
	{"unknown jsonrpc option", "", "api a {\npath /a\njsonrpc {\nwrite x\n}\n}", []string{`jsonrpc: unknown option "write"`, "Caddyfile:10"}},
	{"every fault of a table", "", "public nope\napi a {\npath /a/*/b\n}\napi a {\npath /d\n}\napi c {\npath /{x}\n}", []string{"Caddyfile:7", "Caddyfile:9", "Caddyfile:11", "Caddyfile:15"}},
}

func TestMistakesAreRefusedNamingFileLineAndWhatWasExpected(t *testing.T) {
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			_, err := adapt("{\napi_keys {\n" + c.global + "\n}\n}\n:80 {\napi_key_auth {\n" + c.directive + "\n}\n}\n")
			if c.global == "" {
				_, err = adapt("{\napi_keys\n}\n\n:80 {\napi_key_auth {\n" + c.directive + "\n}\n}\n")
			}
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in: %v", want, err)
				}
			}
		})
	}
}

func TestTheGlobalOptionMayStandOnce(t *testing.T) {
	_, err := adapt("{\napi_keys {\n}\napi_keys {\n}\n}\n")
	if err == nil || !strings.Contains(err.Error(), "given twice") || !strings.Contains(err.Error(), "Caddyfile:4") {
		t.Errorf("%v", err)
	}
}

func TestMistakesInTheAdminHandlerAreRefused(t *testing.T) {
	for _, line := range []string{
		"api_key_admin * here", "api_key_admin {\nread_only\n}",
		"api_key_admin {\nleaks on\n}", "api_key_admin {\nleaks off now\n}", "api_key_admin {\nleaks off\nleaks off\n}",
		"api_key_admin {\nleaks {\ngithub_keys\n}\n}", "api_key_admin {\nleaks {\ngithub_keys a b\n}\n}",
		"api_key_admin {\nleaks off {\ngithub_keys a\n}\n}", "api_key_admin {\nleaks {\ngitlab_keys a\n}\n}",
	} {
		if _, err := adapt(":80 {\n" + line + "\n}"); err == nil || !strings.Contains(err.Error(), "Caddyfile:") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestJSONIsCheckedLikeACaddyfile(t *testing.T) {
	const aSecret = "whsec_aHVzaGh1c2hodXNoaHVzaGh1c2hodXNo"
	t.Setenv("HUSH_SECRET", "whsec_hush")
	t.Setenv("HUSH_HOST", "hush.example.com")
	for config, want := range map[string]string{
		`{"apps":{"api_keys":{"colour":"red"}}}`:                                                                                                                             "colour",
		`{"apps":{"api_keys":{"store":{"kind":"oracle"}}}}`:                                                                                                                  `store "oracle": expected sqlite or postgres`,
		`{"apps":{"api_keys":{"store":{"kind":"postgres"}}}}`:                                                                                                                "found no address",
		`{"apps":{"api_keys":{"store":{"kind":"postgres","address":"postgres://u:hush@h:port/d"}}}}`:                                                                         "expected an address such as postgres://",
		`{"apps":{"api_keys":{"store":{"kind":"postgres","address":"host=h pool_max_conns=2"}}}}`:                                                                            "pool_max_conns is 2; expected 4 or more",
		`{"apps":{"api_keys":{"store":{"kind":"postgres","address":"host=h","listen":"host=h port=hush"}}}}`:                                                                 "listen: ",
		`{"apps":{"api_keys":{"store":{"kind":"postgres","address":"host=h","listen":"{env.NO_SUCH_VARIABLE_HERE}"}}}}`:                                                      "every placeholder",
		`{"apps":{"api_keys":{"cache":{"ttl":"-1s"}}}}`:                                                                                                                      "negative",
		`{"apps":{"api_keys":{"admin_key":"{env.NO_SUCH_VARIABLE_HERE}"}}}`:                                                                                                  "set the variable",
		`{"apps":{"api_keys":{"webhooks":[{"secrets":["{env.S}"]}]}}}`:                                                                                                       "webhook: found no URL",
		`{"apps":{"api_keys":{"webhooks":[{"url":"https://h.example/hush","secrets":["{env.NO_SUCH_VARIABLE_HERE}"]}]}}}`:                                                    "every placeholder",
		`{"apps":{"api_keys":{"webhooks":[{"url":"{env.NO_SUCH_VARIABLE_HERE}","secrets":["whsec_aHVzaGh1c2hodXNoaHVzaGh1c2hodXNo"]}]}}}`:                                    "every placeholder",
		`{"apps":{"api_keys":{"webhooks":[{"url":"https://h.example/hush","secrets":["{env.HUSH_SECRET}"]}]}}}`:                                                              "webhook 1: secret: expected whsec_",
		`{"apps":{"api_keys":{"webhooks":[{"url":"https://{env.HUSH_HOST}:x/","secrets":["whsec_aHVzaGh1c2hodXNoaHVzaGh1c2hodXNo"]}]}}}`:                                     "webhook 1: expected a URL",
		`{"apps":{"api_keys":{"webhooks":[{"url":"https://h.example/hush","secrets":["` + aSecret + `"]},{"url":"https://h.example/hush","secrets":["` + aSecret + `"]}]}}}`: "webhook 2: has the URL of webhook 1",
		`{"apps":{"api_keys":{"admin_key":"two words"}}}`:                                                                                                                    "printable ASCII",
		`{"apps":{"api_keys":{"store":{"kind":"sqlite","address":"{env.NO_SUCH_VARIABLE_HERE}"}}}}`:                                                                          "every placeholder",
		`{"apps":{"http":{"servers":{"s":{"listen":[":0"],"routes":[{"handle":[{"handler":"api_key_auth","apis":[{"name":"a"},{"name":"a","paths":["/x"]}]}]}]}}}}}`:         `"a"`,
		`{"apps":{"http":{"servers":{"s":{"listen":[":0"],"routes":[{"handle":[{"handler":"api_key_auth","colour":1}]}]}}}}}`:                                                "colour",
		`{"apps":{"http":{"servers":{"s":{"listen":[":0"],"routes":[{"handle":[{"handler":"api_key_admin","colour":1}]}]}}}}}`:                                               "colour",
	} {
		if err := validate([]byte(config)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v; want %q, and no password", config, err, want)
		}
	}
}

func FuzzCaddyfile(f *testing.F) {
	for _, c := range refused {
		f.Add(c.global, c.directive)
	}
	f.Add("store sqlite\nkey_prefix kw\ncache {\nttl 1m\nlookups 5/s\n}", "realm x\npublic /a\napi a {\npath /b/{endpoint}/*\nread POST /b/{endpoint}/s\ngraphql\n}")
	f.Add("", "fail_limit 20/m")
	f.Add("webhook https://h.example/ {\nsecret whsec_aHVzaGh1c2hodXNoaHVzaGh1c2hodXNo {x}\nevents api_key_leaked\ntimeout 5s\ninsecure\n}\nwebhook http://h {\nsecret {x}\ninsecure\n}", "")
	f.Add("", "api g {\npath /{endpoint}/*\ngrpc {\nread a.B/C d.*\n}\n}")
	f.Add("cache", "credentials bearer basic header X query y\npreflight pass\nforward_credential\napi r {\nendpoint e /r/*\njsonrpc {\nread a* b\nmax_body 1KB\n}\n}")
	f.Fuzz(func(t *testing.T, global, directive string) {
		if strings.Contains(global+directive, "import") || strings.Contains(global+directive, "{$") || strings.Contains(global+directive, "{file") ||
			strings.Contains(global+directive, "{env") {
			return // not ours: they read files and the environment
		}
		text, err := adapt("{\nadmin off\napi_keys {\n" + global + "\n}\n}\n:0 {\nroute {\napi_key_auth {\n" + directive + "\n}\n}\n}\n")
		if err != nil {
			return
		}
		// Only our own handlers and app are provisioned: text that closes our
		// block could configure anything.
		var root struct {
			Apps map[string]json.RawMessage `json:"apps"`
		}
		if err := json.Unmarshal(text, &root); err != nil {
			t.Fatal(err)
		}
		app := new(App)
		if raw := root.Apps[appName]; raw != nil {
			if err := caddy.StrictUnmarshalJSON(raw, app); err != nil {
				t.Fatalf("the adapted app can't be read: %v\n%s", err, raw)
			}
			if err := app.Validate(); err != nil {
				t.Fatalf("the adapted app is refused: %v\n%s", err, raw)
			}
		}
		for _, auth := range handlersIn(t, root.Apps["http"]) {
			if _, err := auth.Compile(); err != nil {
				t.Fatalf("the adapted handler is refused: %v\n%s", err, text)
			}
		}
	})
}

// handlersIn returns every api_key_auth in a JSON text.
func handlersIn(t *testing.T, text json.RawMessage) []*Auth {
	var out []*Auth
	var find func(any)
	find = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				find(e)
			}
		case map[string]any:
			if v["handler"] == "api_key_auth" {
				delete(v, "handler")
				raw, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				auth := new(Auth)
				if err := caddy.StrictUnmarshalJSON(raw, auth); err != nil {
					t.Fatalf("the adapted handler can't be read: %v\n%s", err, raw)
				}
				out = append(out, auth)
			}
			for _, e := range v {
				find(e)
			}
		}
	}
	var tree any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &tree); err != nil {
			t.Fatal(err)
		}
	}
	find(tree)
	return out
}
