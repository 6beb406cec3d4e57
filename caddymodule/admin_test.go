package caddymodule

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-keywarden/keywarden/internal/freeport"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

const withAdmin = "handle_path /admin/* {\napi_key_admin\n}\nhandle {\n" + standard + "\n}"

const configuredKey = "configured-admin-key-0123456789abcdef"

const configured = "api_keys {\nstore sqlite {$DIR}/keys.db\nadmin_key " + configuredKey + "\n}"

func TestTheFirstStartMakesAnAdminKeyInAFile(t *testing.T) {
	s := newSite(t, "log {\noutput file {$DIR}/all.log\nformat json\nlevel DEBUG\n}", withAdmin)
	path := filepath.Join(s.dir, "admin.key")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v", info.Mode())
	}
	secret := strings.TrimSpace(s.file("admin.key"))
	if got := s.want(200, "GET", "/admin/v1/whoami", bearer(secret)); !strings.Contains(got, `"bootstrap"`) {
		t.Errorf("whoami: %s", got)
	}
	s.want(401, "GET", "/rest/a", func(r *http.Request) { r.Header.Set("X-API-Key", "kw_not_it") })

	// A reload, and another start, make no other.
	if err := s.load("", withAdmin+"\nrespond /x x"); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	log := s.file("all.log")
	if !strings.Contains(log, path) || strings.Contains(log, secret) {
		t.Error("the log must hold the file's path and not the secret")
	}
	if err := s.load("", withAdmin); err != nil {
		t.Fatal(err)
	}
	if again := strings.TrimSpace(s.file("admin.key")); again != secret {
		t.Error("another admin key was made")
	}
	s.want(200, "GET", "/admin/v1/whoami", bearer(secret))
}

func TestNoAdminKeyIsMadeWhereNobodyAsksForOne(t *testing.T) {
	s := newSite(t, "", standard) // no api_key_admin
	if _, err := os.Stat(filepath.Join(s.dir, "admin.key")); err == nil {
		t.Error("an admin key was made without an admin API")
	}
	if err := s.load(configured, withAdmin); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "admin.key")); err == nil {
		t.Error("an admin key was made although one is configured")
	}
}

func TestAFileOfAnEarlierAdminKeyIsLeftAlone(t *testing.T) {
	s := newSite(t, "log {\noutput file {$DIR}/all.log\nformat json\n}", standard)
	if err := os.WriteFile(filepath.Join(s.dir, "admin.key"), []byte("kw_of_another_database\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.load("log {\noutput file {$DIR}/all.log\nformat json\n}", withAdmin); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := s.file("admin.key"); got != "kw_of_another_database\n" {
		t.Errorf("the file holds %q", got)
	}
	if log := s.file("all.log"); !strings.Contains(log, "delete the file and start again") {
		t.Error("the log does not say how to go on")
	}
}

func TestTheConfiguredAdminKeyIsNotStoredAndOpensNoAPI(t *testing.T) {
	t.Setenv("KEYWARDEN_TEST_ADMIN_KEY", configuredKey)
	s := newSite(t, strings.Replace(configured, configuredKey, "{env.KEYWARDEN_TEST_ADMIN_KEY}", 1), withAdmin)
	for _, edit := range []func(*http.Request){bearer(configuredKey), header("X-API-Key", configuredKey)} {
		if got := s.want(200, "GET", "/admin/v1/whoami", edit); !strings.Contains(got, `"config"`) {
			t.Errorf("whoami: %s", got)
		}
	}
	s.want(401, "GET", "/rest/a", bearer(configuredKey))
	if got := s.want(200, "GET", "/admin/v1/keys", bearer(configuredKey)); !strings.Contains(got, `"data":[]`) {
		t.Errorf("it is stored: %s", got)
	}
}

func TestAChangeHoldsForTheVeryNextRequest(t *testing.T) {
	s := newSite(t, configured, withAdmin)
	answer := s.want(201, "POST", "/admin/v1/keys", bearer(configuredKey), header("Content-Type", "application/json"),
		body(`{"permissions": {"mode": "all"}}`))
	var created struct{ ID, Secret string }
	if err := json.Unmarshal([]byte(answer), &created); err != nil {
		t.Fatal(err)
	}
	for _, enabled := range []string{"false", "true", "false"} {
		s.want(200, "PATCH", "/admin/v1/keys/"+created.ID, bearer(configuredKey), header("Content-Type", "application/merge-patch+json"),
			body(`{"enabled": `+enabled+`}`))
		status := 200
		if enabled == "false" {
			status = 401
		}
		s.want(status, "GET", "/rest/a", bearer(created.Secret))
	}
}

func TestTheAuditNamesTheClientAsCaddyJudgesIt(t *testing.T) {
	s := newSite(t, "servers {\ntrusted_proxies static 127.0.0.1/32\n}\n"+configured, withAdmin)
	s.want(201, "POST", "/admin/v1/keys", bearer(configuredKey), header("Content-Type", "application/json"),
		header("X-Forwarded-For", "203.0.113.9"), body(`{"permissions": {"mode": "all"}}`))
	if got := s.want(200, "GET", "/admin/v1/audit", bearer(configuredKey)); !strings.Contains(got, `"203.0.113.9"`) {
		t.Errorf("the audit: %s", got)
	}
}

func TestCheckJudgesAgainstTheAPIsOfAllSites(t *testing.T) {
	other := "\n}\nhttp://localhost:{$ADDRESS_PORT} {\napi_key_auth {\napi elsewhere {\npath /elsewhere/*\n}\n}\nrespond other"
	s := newSite(t, configured, withAdmin+other)
	k, _ := s.key()
	got := s.want(200, "POST", "/admin/v1/keys/check", bearer(configuredKey), header("Content-Type", "application/json"),
		body(`{"id": "`+string(k.ID)+`", "method": "GET", "path": "/elsewhere/x"}`))
	if !strings.Contains(got, `"allowed":true`) || !strings.Contains(got, `"elsewhere"`) {
		t.Errorf("check: %s", got)
	}
	apis := s.want(200, "GET", "/admin/v1/apis", bearer(configuredKey))
	for _, name := range []string{"rest", "serverless", "graphql", "elsewhere"} {
		if !strings.Contains(apis, `"`+name+`"`) {
			t.Errorf("%s is missing in %s", name, apis)
		}
	}
}

func TestHealthNeedsNoKey(t *testing.T) {
	s := newSite(t, "", withAdmin)
	s.want(200, "GET", "/admin/healthz")
	s.want(200, "GET", "/admin/readyz")
}

func TestEverythingMayBeLeftOut(t *testing.T) {
	data := t.TempDir()
	t.Setenv("XDG_DATA_HOME", data)
	s := &site{t: t, dir: data, address: freeport.Addresses(t, 1)[0]}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := load(t, "{\nadmin off\npersist_config off\n}\nhttp://"+s.address+" {\napi_key_auth\napi_key_admin\n}\n"); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(caddy.AppDataDir(), "keywarden")
	for name, mode := range map[string]os.FileMode{"": 0o700, "keys.db": 0o600, "admin.key": 0o600} {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", info.Name(), info.Mode().Perm(), mode)
		}
	}
	s.want(401, "GET", "/")
}

func TestRelativePathsCountFromTheWorkingDirectory(t *testing.T) {
	s := newSite(t, "", standard)
	t.Chdir(s.dir)
	if err := s.load("api_keys {\nstore sqlite ./sub/dir/keys.db\n}", standard); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "sub", "dir", "keys.db")); err != nil {
		t.Error(err)
	}
}

func TestTheAdminAPIOfAFailedStartIsUnavailable(t *testing.T) {
	app := &App{settled: make(chan struct{})}
	if err := app.Cleanup(); err != nil {
		t.Fatal(err)
	}
	checkUnavailable(t, &Admin{app: app})
}

func TestImportedSecretsOpenAPIsToo(t *testing.T) {
	s := newSite(t, "", standard)
	legacy, err := keys.ForeignSecret("sk-legacy.0123~secret")
	if err != nil {
		t.Fatal(err)
	}
	s.want(401, "GET", "/rest/a", bearer(legacy.Reveal()))
	k := s.keyWith(legacy, func(k *keys.Key) { k.Legacy = true; k.Permissions = permission.Set{Mode: permission.ReadOnly} })
	s.want(200, "GET", "/rest/a", bearer(legacy.Reveal()))
	if got := identityOf(s.upstream.last(t, 1).Request)["X-Auth-Key-Id"]; got != string(k.ID) {
		t.Errorf("it is taken for %q", got)
	}
}

func TestAdminKeysAreUsedKeysAndCheckedOnesAreNot(t *testing.T) {
	s := newSite(t, "", withAdmin)
	used := bearer(strings.TrimSpace(s.file("admin.key")))
	checked, secret := s.key()
	s.want(200, "POST", "/admin/v1/keys/check", used, header("Content-Type", "application/json"), body(`{"secret":"`+secret+`","method":"GET","path":"/rest/a"}`))
	var caller struct{ ID keys.ID }
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/admin/v1/whoami", used)), &caller); err != nil {
		t.Fatal(err)
	}
	if err := s.engine().usage.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, wasUsed := range map[keys.ID]bool{caller.ID: true, checked.ID: false} {
		stored, err := s.engine().store.Get(t.Context(), id, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if stored.LastUsedAt.IsZero() == wasUsed {
			t.Errorf("%s: last used at %v, want used %t", id, stored.LastUsedAt, wasUsed)
		}
	}
}
