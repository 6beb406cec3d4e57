package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// credentials that callers may use, on top of the defaults, and a plain log
// line; %s is the format of logs.
const leakCaddyfile = `{
	log {
		level DEBUG
		format %s
	}
	api_keys {
		store sqlite ./data/keys.db
	}
}

http://localhost:8080 {
	bind 127.0.0.1
	log
	api_key_auth {
		credentials bearer header X-API-Key header X-Other-Key query api_key basic
		public /healthz
		api rest {
			path /rest/*
		}
		api graphql {
			path /graphql
			graphql
		}
	}
	reverse_proxy 127.0.0.1:9000
}

http://localhost:2020 {
	bind 127.0.0.1
	log
	api_key_admin
}
`

// spy keeps every answer that must hold no secret, and every secret.
type spy struct {
	g       *Gateway
	secrets map[string]string // by what it is
	answers []string
}

func (s *spy) issued(what, secret string) string {
	s.g.t.Helper()
	if secret == "" {
		s.g.t.Fatalf("no secret was issued for %s", what)
	}
	s.secrets[what] = secret
	return secret
}

func (s *spy) keep(answer Answer) Answer {
	s.answers = append(s.answers, fmt.Sprintf("%d %v %s", answer.Status, answer.Header, answer.Body))
	return answer
}

// call presents a secret in every place where a caller may put it, or may
// think that they may.
func (s *spy) call(target, secret string) {
	s.g.t.Helper()
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(secret+":"))
	for _, headers := range [][]Header{
		{Bearer(secret)},
		{{"X-API-Key", secret}},
		{{"X-Other-Key", secret}},
		{{"Authorization", basic}},
		{{"Authorization", "Token " + secret}},
		{Bearer(secret), {"X-API-Key", secret}},
		{Bearer(secret), {"Cookie", "a=b"}},
	} {
		for _, method := range []string{"GET", "POST", "TRACE"} {
			s.keep(s.g.Call(method, target, "", headers...))
		}
	}
	s.keep(s.g.Call("GET", target+"?api_key="+url.QueryEscape(secret), ""))
	s.keep(s.g.Call("GET", target+"?a=1&api_key="+url.QueryEscape(secret)+"&b=2", "", Header{"Referer", s.g.URL + "/?api_key=" + secret}))
	s.keep(s.g.Raw("GET " + target + " HTTP/1.1\r\nHost: {host}\r\nX-API-Key: " + secret + "\r\nConnection: close\r\nX_Api_Key: " + secret + "\r\n\r\n"))
}

// administrate walks through the admin API with a key of every kind.
func (s *spy) administrate() (active Key) {
	g := s.g
	active = g.Create(map[string]any{"name": "active", "owner": "o", "metadata": map[string]any{"a": "b"}})
	s.issued("active", active.Secret)
	disabled := g.Create(map[string]any{"enabled": false})
	s.issued("disabled", disabled.Secret)
	deleted := g.Create(nil)
	s.issued("deleted", deleted.Secret)
	s.issued("admin", g.Create(map[string]any{"admin": "write"}).Secret)
	rotated := g.Create(nil)
	s.issued("rotated, old", rotated.Secret)
	s.issued("rotated, new", g.Admin("POST", "/v1/keys/"+rotated.ID+"/rotate", map[string]any{"grace_seconds": 600}).Text("secret"))
	imported := s.issued("imported", "sk-live-imported-0123456789abcdefghijklmnop")
	s.keep(g.Admin("POST", "/v1/keys/import", map[string]any{"keys": []any{map[string]any{
		"name": "old", "permissions": map[string]any{"mode": "all"}, "secret": imported,
	}}}))
	s.keep(g.Admin("POST", "/v1/keys/import", map[string]any{"keys": []any{map[string]any{
		"name": "twice", "permissions": map[string]any{"mode": "all"}, "secret": imported, "wrong": imported,
	}}}))
	s.keep(g.Admin("DELETE", "/v1/keys/"+deleted.ID, nil))
	for _, secret := range s.secrets {
		s.keep(g.Admin("POST", "/v1/keys/check", map[string]any{"secret": secret, "method": "GET", "path": "/rest/a"}))
	}
	for _, path := range []string{
		"/v1/keys", "/v1/keys/" + active.ID, "/v1/keys/" + rotated.ID, "/v1/audit", "/v1/apis", "/v1/whoami",
		"/v1/openapi.json", "/healthz", "/readyz", "/v1/keys?q=" + url.QueryEscape(active.Secret), "/v1/keys/" + active.Secret,
	} {
		s.keep(g.Admin("GET", path, nil))
		s.keep(g.Admin("GET", path, nil, Bearer("nonsense"), Header{"X-API-Key", g.AdminKey}))
	}
	return active
}

func TestNoSecretLeavesButInTheAnswerThatIssuesIt(t *testing.T) {
	for _, format := range []string{"json", "console"} {
		t.Run(format, func(t *testing.T) {
			s := &spy{g: Start(t, Options{Config: fmt.Sprintf(leakCaddyfile, format)}), secrets: map[string]string{}}
			s.issued("bootstrap", s.g.AdminKey)
			s.administrate()
			// Nothing listens upstream: what is allowed ends in a 502, which
			// Caddy logs with the request.
			for _, secret := range s.secrets {
				for _, target := range []string{"/rest/users", "/healthz", "/nowhere", "/graphql"} {
					s.call(target, secret)
				}
			}
			active := s.secrets["active"]
			Expect(t, s.keep(s.g.Call("GET", "/rest/users", "", Header{"X-API-Key", active})), http.StatusBadGateway, "")
			_, err := s.g.Reload()
			if err != nil {
				t.Error("reloading failed")
			}
			s.cut(active)
			s.keep(s.g.Admin("GET", "/v1/audit", nil))
			s.g.Stop()
			s.search(t)
		})
	}
}

// cut sends requests that end in the middle.
func (s *spy) cut(secret string) {
	s.keep(s.g.Raw("POST /graphql HTTP/1.1\r\nHost: {host}\r\nX-API-Key: " + secret + "\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{x"))
	s.keep(s.g.Raw("GET /rest/a%2Fb HTTP/1.1\r\nHost: {host}\r\nX-API-Key: " + secret + "\r\nConnection: close\r\n\r\n"))
	s.keep(s.g.Raw("GET /rest/a HTTP/1.1\r\nHost: {host}\r\nX-API-Key: " + secret + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"))
}

// search looks for every secret in all that was printed, stored and answered.
func (s *spy) search(t *testing.T) {
	t.Helper()
	for what, secret := range s.secrets {
		// A secret may stand in a URL, in base64 or behind JSON's escapes;
		// its random part is the same in all but base64.
		core := secret[len(secret)-20:]
		basic := base64.StdEncoding.EncodeToString([]byte(secret + ":"))[:40]
		for _, text := range []string{core, basic} {
			for _, line := range strings.Split(s.g.Output(), "\n") {
				if strings.Contains(line, text) {
					t.Errorf("the secret %s is in the log: %s", what, strings.ReplaceAll(line, text, "[HERE]"))
				}
			}
			for _, answer := range s.answers {
				if strings.Contains(answer, text) {
					t.Errorf("the secret %s is in an answer: %s", what, strings.ReplaceAll(answer, text, "[HERE]"))
				}
			}
			s.searchFiles(t, what, text)
		}
	}
	if len(s.g.Output()) < 1000 || len(s.answers) < 100 {
		t.Error("there was next to nothing to search")
	}
}

func (s *spy) searchFiles(t *testing.T, what, text string) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(s.g.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(path) == "admin.key" { // the bootstrap secret's place
			return err
		}
		found++
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(text)) {
			t.Errorf("the secret %s is in %s", what, filepath.Base(path))
		}
		return err
	})
	if err != nil || found < 2 {
		t.Fatalf("searched %d files: %v", found, err)
	}
}

// The files beside the database exist only while it is open, or after a crash.
func TestNoSecretIsInTheWriteAheadLog(t *testing.T) {
	s := &spy{g: Start(t, Options{Config: fmt.Sprintf(leakCaddyfile, "json")}), secrets: map[string]string{}}
	s.issued("bootstrap", s.g.AdminKey)
	s.administrate()
	wal := filepath.Join(s.g.Dir, "data", "keys.db-wal")
	Eventually(t, 5*time.Second, "a write-ahead log", func() bool {
		info, err := os.Stat(wal)
		return err == nil && info.Size() > 0
	})
	s.g.Kill()
	for what, secret := range s.secrets {
		s.searchFiles(t, what, secret[len(secret)-20:])
	}
}
