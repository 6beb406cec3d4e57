package e2e

import (
	"bytes"
	"database/sql"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // to write what a newer version would have written
)

func TestFirstStartWritesAnAdminKeyThatOnlyItsOwnerReads(t *testing.T) {
	g, _ := start(t)
	file := filepath.Join(g.Dir, "data", "admin.key")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("admin.key has mode %o", info.Mode().Perm())
	}
	if folder, err := os.Stat(filepath.Dir(file)); err != nil || folder.Mode().Perm() != 0o700 {
		t.Errorf("its folder has mode %v, %v", folder.Mode(), err)
	}
	if !strings.Contains(g.Output(), filepath.Join("data", "admin.key")) || strings.Contains(g.Output(), g.AdminKey) {
		t.Errorf("the log must name the file and never the secret:\n%s", g.Output())
	}
	who := g.Admin("GET", "/v1/whoami", nil)
	if who.Text("name") != "bootstrap" || who.Text("admin") != "write" {
		t.Errorf("the admin key is %s", who)
	}
}

func TestSecondStartMakesNoOtherAdminKey(t *testing.T) {
	g, _ := start(t)
	secret := g.AdminKey
	g.Stop()
	again := Start(t, Options{Config: caddyfile, Dir: g.Dir})
	if again.AdminKey != secret {
		t.Error("the second start changed the admin key")
	}
	if list := again.Admin("GET", "/v1/keys", nil); len(list.Field("data").([]any)) != 1 {
		t.Errorf("the keys are %s", list)
	}
}

func TestExistingAdminKeyFileIsNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "data", "admin.key")
	if err := os.WriteFile(file, []byte("someone's\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := Start(t, Options{Config: caddyfile, Dir: dir})
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "someone's\n" {
		t.Errorf("the file is now %q, %v", text, err)
	}
	if !strings.Contains(g.Output(), "admin.key") || !strings.Contains(g.Output(), "keywarden login --config") {
		t.Errorf("the log does not say how to go on:\n%s", g.Output())
	}
	Expect(t, g.Admin("GET", "/v1/keys", nil), http.StatusUnauthorized, "unknown_key")
}

func TestConfiguredAdminKeyNeedsNoStoredOne(t *testing.T) {
	const secret = "any-long-text-that-the-operator-chose-0123456789"
	config := strings.Replace(caddyfile, "api_keys {", "api_keys {\n\t\tadmin_key {env.KEYWARDEN_TEST_ADMIN_KEY}", 1)
	g := Start(t, Options{Config: config, AdminKey: secret, Env: []string{"KEYWARDEN_TEST_ADMIN_KEY=" + secret}})
	if _, err := os.Stat(filepath.Join(g.Dir, "data", "admin.key")); err == nil {
		t.Error("an admin key was made although one is configured")
	}
	if who := g.Admin("GET", "/v1/whoami", nil); who.Text("id") != "config" || who.Text("admin") != "write" {
		t.Errorf("whoami answered %s", who)
	}
	// With it, the last stored admin key may go.
	stored := g.Create(map[string]any{"admin": "write"})
	Expect(t, g.Admin("DELETE", "/v1/keys/"+stored.ID, nil), http.StatusNoContent, "")
	Expect(t, g.Call("GET", "/rest/users", "", Bearer(secret)), http.StatusUnauthorized, "unknown_key")
	if strings.Contains(g.Output(), secret) {
		t.Error("the configured admin key is in the log")
	}
}

func TestNewerDatabaseIsRefusedUntouched(t *testing.T) {
	g, _ := start(t)
	g.Create(nil)
	g.Stop()
	file := filepath.Join(g.Dir, "data", "keys.db")
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(DELETE)")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO migrations (version_id, is_applied) VALUES (99999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := StartRefused(t, Options{Config: caddyfile, Dir: g.Dir})
	if !strings.Contains(out, "newer version") {
		t.Errorf("the refusal does not say why:\n%s", out)
	}
	after, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the database was changed: %v", err)
	}
}

func TestUnreadableStoreIsNotTakenForAnEmptyOne(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	garbage := []byte(strings.Repeat("not a database ", 1000))
	file := filepath.Join(dir, "data", "keys.db")
	if err := os.WriteFile(file, garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	StartRefused(t, Options{Config: caddyfile, Dir: dir})
	if _, err := os.Stat(filepath.Join(dir, "data", "admin.key")); err == nil {
		t.Error("an admin key was made")
	}
	if text, err := os.ReadFile(file); err != nil || !bytes.Equal(text, garbage) {
		t.Errorf("the file was changed: %v", err)
	}
}
