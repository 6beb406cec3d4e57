package caddymodule

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/config"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// identityOf returns the identity headers that reached the upstream.
func identityOf(r *http.Request) map[string]string {
	out := map[string]string{}
	for _, name := range config.IdentityHeaders() {
		if values := r.Header[name]; len(values) > 0 {
			out[name] = strings.Join(values, "|")
		}
	}
	return out
}

func TestTheUpstreamLearnsWhoCalled(t *testing.T) {
	s := newSite(t, "", standard)
	k, secret := s.key()
	s.want(200, "GET", "/rest/users/1", bearer(secret))
	got := s.upstream.last(t, 1)
	want := map[string]string{
		"X-Auth-Key-Id": string(k.ID), "X-Auth-Key-Owner": "team-7", "X-Auth-Api": "rest",
		"X-Auth-Endpoint": "users", "X-Auth-Access": "read",
	}
	if diff := cmp.Diff(want, identityOf(got.Request)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Header["Authorization"] != nil {
		t.Errorf("the credential reached the upstream: %s", got.Header["Authorization"])
	}
}

func TestEmptyIdentityHeadersAreNotSent(t *testing.T) {
	s := newSite(t, "", standard)
	k, secret := s.key(func(k *keys.Key) { k.Owner = "" })
	s.want(200, "PUT", "/rest/other", header("X-API-Key", secret))
	want := map[string]string{"X-Auth-Key-Id": string(k.ID), "X-Auth-Api": "rest", "X-Auth-Access": "write"}
	if diff := cmp.Diff(want, identityOf(s.upstream.last(t, 1).Request)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestIdentityThatIsNotASCIIIsPercentEncoded(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key(func(k *keys.Key) { k.Owner = " Zoë 100% 火" })
	s.want(200, "GET", "/v2/caf%C3%A9/x", bearer(secret))
	got := identityOf(s.upstream.last(t, 1).Request)
	if got["X-Auth-Key-Owner"] != "%20Zo%C3%AB 100%25 %E7%81%AB" || got["X-Auth-Endpoint"] != "caf%C3%A9" {
		t.Errorf("%v", got)
	}
}

func TestRefusalsAreAnswersOfTheContract(t *testing.T) {
	s := newSite(t, "", standard+"\nhandle_errors {\nrespond \"an error route\" 599\n}")
	_, reader := s.key(func(k *keys.Key) { k.Permissions.Mode = permission.ReadOnly })
	_, off := s.key(func(k *keys.Key) { k.Enabled = false })
	for _, c := range []struct {
		name, method, target, secret string
		status                       int
		code                         string
	}{
		{"no key", "GET", "/rest/a", "", 401, "missing_key"},
		{"no key on a path of no API", "GET", "/nowhere", "", 401, "missing_key"},
		{"garbage", "GET", "/rest/a", "kw_nonsense", 401, "unknown_key"},
		{"disabled key", "GET", "/rest/a", off, 401, "disabled_key"},
		{"read-only key writes", "POST", "/rest/a", reader, 403, "insufficient_access"},
		{"path of no API", "GET", "/nowhere", reader, 404, "no_such_api"},
		{"the root", "GET", "/", reader, 404, "no_such_api"},
		{"encoded slash", "GET", "/rest/a%2Fb", reader, 400, "ambiguous_request"},
		{"trace", "TRACE", "/rest/a", reader, 405, "method_not_allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.t = t
			edit := func(*http.Request) {}
			if c.secret != "" {
				edit = bearer(c.secret)
			}
			answer, text := s.do(c.method, c.target, edit)
			if answer.StatusCode != c.status {
				t.Fatalf("status %d, want %d: %s", answer.StatusCode, c.status, text)
			}
			var problem struct{ Code string }
			if err := json.Unmarshal([]byte(text), &problem); err != nil || problem.Code != c.code {
				t.Errorf("code %q (%v), want %q", problem.Code, err, c.code)
			}
			if got := answer.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type %q", got)
			}
		})
	}
	if n := s.upstream.count(); n != 0 {
		t.Errorf("%d refused requests reached the upstream", n)
	}
}

func TestTheRealmStandsInTheChallenge(t *testing.T) {
	s := newSite(t, "", `api_key_auth {
		realm "Acme API"
	}`)
	answer, _ := s.do("GET", "/")
	if got := answer.Header.Get("WWW-Authenticate"); got != `Bearer realm="Acme API"` {
		t.Errorf("WWW-Authenticate: %s", got)
	}
}

func TestPublicPathsNeedNoKeyAndGetNoIdentity(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key()
	s.want(200, "GET", "/healthz", header("X-Auth-Key-Id", "key_forged"), header("X-API-Key", secret))
	got := s.upstream.last(t, 1)
	if id := identityOf(got.Request); len(id) > 0 {
		t.Errorf("a public path got the identity %v", id)
	}
	if got.Header["X-Api-Key"] != nil {
		t.Error("the credential reached the upstream")
	}
}

func TestPreflightsPassWithoutAKeyWhereConfigured(t *testing.T) {
	preflight := []func(*http.Request){header("Origin", "https://app.example"), header("Access-Control-Request-Method", "PUT")}
	s := newSite(t, "", standard)
	s.want(401, "OPTIONS", "/rest/a", preflight...)

	if err := s.load("", strings.Replace(standard, "public", "preflight pass\npublic", 1)); err != nil {
		t.Fatal(err)
	}
	s.want(200, "OPTIONS", "/rest/a", append(preflight, header("X-Auth-Api", "forged"))...)
	if id := identityOf(s.upstream.last(t, 1).Request); len(id) > 0 {
		t.Errorf("a preflight got the identity %v", id)
	}
	s.want(401, "OPTIONS", "/nowhere", preflight...)
	s.want(401, "OPTIONS", "/rest/a", preflight[0])
	s.want(400, "OPTIONS", "/rest/a", append(preflight, header("X-HTTP-Method-Override", "DELETE"))...)
}

func TestTheCredentialGoesOnOnlyWhereConfigured(t *testing.T) {
	directives := strings.Replace(standard, "public", "credentials bearer header X-API-Key query key basic\npublic", 1)
	s := newSite(t, "", directives)
	_, secret := s.key()
	basic := func(r *http.Request) { r.SetBasicAuth(secret, "") }
	ways := map[string]struct {
		target string
		edit   func(*http.Request)
	}{
		"bearer": {"/rest/a", bearer(secret)},
		"header": {"/rest/a", header("x-api-key", secret)},
		"basic":  {"/rest/a", basic},
		"query":  {"/rest/a?a=1&key=" + secret + "&b=2", func(*http.Request) {}},
		"%query": {"/rest/a?%6bey=" + strings.Replace(secret, "_", "%5F", 1), func(*http.Request) {}},
		"public": {"/healthz?key=" + secret, func(*http.Request) {}},
	}
	n := 0
	for name, way := range ways {
		n++
		s.want(200, "GET", way.target, way.edit)
		if got := s.upstream.last(t, n); strings.Contains(fmt.Sprint(got.RequestURI, got.Header), secret[3:]) || got.Header["Authorization"] != nil {
			t.Errorf("%s: the credential reached the upstream: %s %v", name, got.RequestURI, got.Header)
		}
	}
	if err := s.load("", strings.Replace(directives, "public", "forward_credential\npublic", 1)); err != nil {
		t.Fatal(err)
	}
	s.want(200, "GET", "/rest/a?key="+secret)
	if got := s.upstream.last(t, n+1); !strings.Contains(got.RequestURI, secret) {
		t.Errorf("the credential did not go on: %s", got.RequestURI)
	}
}

func TestTheOriginalURLForgetsTheCredentialToo(t *testing.T) {
	s := newSite(t, "", `
	uri path_regexp ^/in /rest
	api_key_auth {
		credentials query key
		api rest {
			path /rest/*
		}
	}
	reverse_proxy {$UPSTREAM} {
		header_up X-Original "{http.request.orig_uri.query}|{http.request.orig_uri.path}"
	}`)
	_, secret := s.key()
	s.want(200, "GET", "/in/a?b=1&key="+secret)
	if got := s.upstream.last(t, 1).Header.Get("X-Original"); got != "b=1|/in/a" {
		t.Errorf("the original URL is %q", got)
	}
}

func TestGraphQLBodiesArriveByteForByte(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key(func(k *keys.Key) { k.Permissions.Mode = permission.ReadOnly })
	query := ` {"query" : "{ me { id } }" , "variables":{} } `
	s.want(200, "POST", "/graphql", bearer(secret), header("Content-Type", "application/json"), body(query))
	if got := s.upstream.last(t, 1); got.Body != query || got.Header.Get("X-Auth-Access") != "read" {
		t.Errorf("the upstream got %q, access %s", got.Body, got.Header.Get("X-Auth-Access"))
	}
	s.want(403, "POST", "/graphql", bearer(secret), header("Content-Type", "application/json"), body(`{"query":"mutation { x }"}`))
}

func TestRefusalsDoNotWaitForTheBody(t *testing.T) {
	s := newSite(t, "", standard)
	for name, head := range map[string]string{
		"expecting 100 Continue": "Expect: 100-continue\nContent-Length: 1000\n",
		"with a body to come":    "Content-Length: 1000\n",
		"chunked":                "Transfer-Encoding: chunked\n",
		"larger than is drained": "Content-Length: 100000000\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			request := "POST /rest/a HTTP/1.1\nHost: " + s.address + "\n" + head + "\n"
			if _, err := io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n")); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("no answer while the body is still to come: %v", err)
			}
			answer.Body.Close()
			if answer.StatusCode != 401 {
				t.Errorf("status %d", answer.StatusCode)
			}
		})
	}
}

func TestAConnectionIsKeptAfterARefusalWhoseBodyWasRead(t *testing.T) {
	s := newSite(t, "", standard)
	_, reader := s.key(func(k *keys.Key) { k.Permissions.Mode = permission.ReadOnly })
	mutation := `{"query":"mutation { x }"}`
	answer, _ := s.do("POST", "/graphql", bearer(reader), header("Content-Type", "application/json"), body(mutation))
	if answer.StatusCode != 403 || answer.Close {
		t.Errorf("status %d, closed %t", answer.StatusCode, answer.Close)
	}
	answer, _ = s.do("POST", "/graphql", bearer("kw_unknown"), header("Content-Type", "application/json"), body(mutation))
	if answer.StatusCode != 401 || !answer.Close {
		t.Errorf("status %d, closed %t: with the body unread the connection must end", answer.StatusCode, answer.Close)
	}
}

func TestWebSocketUpgradesWriteAndOtherUpgradesAreRefused(t *testing.T) {
	s := newSite(t, "", standard)
	s.upstream.answer = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
	}
	_, writer := s.key()
	_, reader := s.key(func(k *keys.Key) { k.Permissions.Mode = permission.ReadOnly })
	upgrade := func(secret, protocol string) string {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /rest/socket HTTP/1.1\r\nHost: %s\r\nX-API-Key: %s\r\nConnection: Upgrade, X-Auth-Key-Id\r\nUpgrade: %s\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", s.address, secret, protocol)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	if got := upgrade(writer, "websocket"); !strings.Contains(got, "101") {
		t.Errorf("a writer's WebSocket: %s", got)
	}
	if got := s.upstream.last(t, 1); got.Header.Get("X-Auth-Access") != "write" || got.Header.Get("X-Auth-Key-Id") == "" {
		t.Errorf("it arrived as %v", got.Header)
	}
	if got := upgrade(reader, "websocket"); !strings.Contains(got, "403") {
		t.Errorf("a reader's WebSocket: %s", got)
	}
	if got := upgrade(writer, "h2c"); !strings.Contains(got, "400") {
		t.Errorf("another upgrade: %s", got)
	}
}

func TestTheHandlerIsOrderedBeforeEverythingThatAnswers(t *testing.T) {
	for name, directive := range map[string]string{
		"respond":     `respond "open"`,
		"file_server": "root {$DIR}\nfile_server",
		"handle":      "handle /rest/* {\nrespond open\n}",
		"route":       "route {\nrespond open\n}",
		"metrics":     "metrics",
		"redirect of": "handle_path /rest/* {\nredir https://elsewhere.example\n}",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "", directive+"\napi_key_auth {\napi rest {\npath /rest/*\n}\n}")
			s.want(401, "GET", "/rest/a")
		})
	}
}

func TestTheHandlerJudgesTheRewrittenPath(t *testing.T) {
	s := newSite(t, "", "rewrite /old/* /rest/a\n"+standard)
	_, secret := s.key()
	s.want(200, "GET", "/old/x", bearer(secret))
	if got := s.upstream.last(t, 1); got.RequestURI != "/rest/a" || got.Header.Get("X-Auth-Api") != "rest" {
		t.Errorf("the upstream got %s as %s", got.RequestURI, got.Header.Get("X-Auth-Api"))
	}
}

func TestTheHandlerWorksInsideHandleBlocks(t *testing.T) {
	s := newSite(t, "", "handle /open {\nrespond open\n}\nhandle {\n"+standard+"\n}")
	_, secret := s.key()
	s.want(200, "GET", "/open")
	s.want(401, "GET", "/rest/a")
	s.want(200, "GET", "/rest/a", bearer(secret))
}

func TestPlaceholdersTellWhoCalled(t *testing.T) {
	s := newSite(t, "", strings.Replace(standard, "reverse_proxy {$UPSTREAM}", `reverse_proxy {$UPSTREAM} {
		header_up X-Who "{http.auth.user.id}|{http.auth.user.owner}|{http.auth.user.name}"
		header_up X-What "{http.vars.api_key.api}|{http.vars.api_key.endpoint}|{http.vars.api_key.access}"
	}`, 1))
	k, secret := s.key(func(k *keys.Key) { k.Name = "ci büro" })
	s.want(200, "POST", "/rest/users", bearer(secret))
	got := s.upstream.last(t, 1)
	if who := got.Header.Get("X-Who"); who != string(k.ID)+"|team-7|ci büro" {
		t.Errorf("who: %q", who)
	}
	if what := got.Header.Get("X-What"); what != "rest|users|write" {
		t.Errorf("what: %q", what)
	}
}

func TestPlaceholdersOfAnEarlierHandlerAreReplaced(t *testing.T) {
	// The hash is of "hiccup".
	s := newSite(t, "", `
	basic_auth {
		Bob $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG
	}
	api_key_auth {
		api rest {
			path /rest/*
		}
	}
	respond "{http.auth.user.id}"`)
	k, secret := s.key()
	got := s.want(200, "GET", "/rest/a", header("X-API-Key", secret), func(r *http.Request) { r.SetBasicAuth("Bob", "hiccup") })
	if got != string(k.ID) {
		t.Errorf("the user is %q, want %q", got, k.ID)
	}
}
