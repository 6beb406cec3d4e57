package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// writeConfig writes a configuration that keeps its keys in the same folder.
func writeConfig(t *testing.T, name, sites string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, name)
	text := "{\n\tapi_keys {\n\t\tstore sqlite " + filepath.Join(dir, "keys.db") + "\n\t\tkey_prefix acme\n\t}\n}\n" + sites
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAddressOfTheAdminAPIIsReadFromTheConfiguration(t *testing.T) {
	for site, want := range map[string]string{
		"http://localhost:2020 {\n api_key_admin\n}":                                                "http://localhost:2020",
		"localhost:2020 {\n api_key_admin\n}":                                                       "https://localhost:2020",
		"localhost:2020 {\n bind 127.0.0.1\n api_key_admin\n}":                                      "https://localhost:2020",
		":2020 {\n api_key_admin\n}":                                                                "http://localhost:2020",
		":2020 {\n bind 127.0.0.1\n api_key_admin\n}":                                               "http://127.0.0.1:2020",
		":2020 {\n bind 0.0.0.0\n api_key_admin\n}":                                                 "http://localhost:2020",
		"http://[::1]:2020 {\n api_key_admin\n}":                                                    "http://[::1]:2020",
		"keys.example.com {\n api_key_admin\n}":                                                     "https://keys.example.com",
		"keys.example.com:8443 {\n tls internal\n api_key_admin\n}":                                 "https://keys.example.com:8443",
		"http://keys.example.com {\n api_key_admin\n}":                                              "http://keys.example.com",
		"a.example.com {\n respond ok\n}\nhttp://localhost:9 {\n api_key_admin\n}":                  "http://localhost:9",
		"keys.example.com {\n handle_path /admin/* {\n api_key_admin\n}\n}":                         "https://keys.example.com/admin",
		"keys.example.com {\n handle_path /x/* {\n respond ok\n}\n handle {\n api_key_admin\n}\n}":  "https://keys.example.com",
		"http://localhost:8080 {\n route {\n reverse_proxy /v2/* localhost:1\n api_key_admin\n}\n}": "http://localhost:8080",
	} {
		g, err := OpenGateway(t.Context(), writeConfig(t, "Caddyfile", site+"\n"), "")
		if err != nil {
			t.Errorf("%s: %v", site, err)
			continue
		}
		if g.Address() != want {
			t.Errorf("%s: got %s, want %s", site, g.Address(), want)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
}

const adminSite = "http://localhost:2020 {\n\tapi_key_admin\n}\n"

func TestOpenedGatewayMakesAdminKeysThatItAccepts(t *testing.T) {
	file := writeConfig(t, "prod.caddyfile", adminSite)
	g, err := OpenGateway(t.Context(), file, "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	secret, err := g.MakeAdminKey(t.Context(), "cli@host")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.ParseSecret("acme", secret); err != nil {
		t.Errorf("the secret has another prefix than the configuration says: %v", err)
	}
	if access, ok, err := g.Accepts(t.Context(), secret); access != "write" || !ok || err != nil {
		t.Errorf("got %q, %v, %v", access, ok, err)
	}
	for _, other := range []string{"", "acme_nonsense", "two words", strings.Repeat("x", 10_000)} {
		if _, ok, err := g.Accepts(t.Context(), other); ok || err != nil {
			t.Errorf("%.20q is accepted: %v, %v", other, ok, err)
		}
	}
	if info, err := os.Stat(filepath.Join(filepath.Dir(file), "keys.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the database: %v, %v", info, err)
	}
}

func TestOpenedGatewayAcceptsTheConfiguredAdminKey(t *testing.T) {
	t.Setenv("TEST_ADMIN_KEY", "a-configured-admin-key")
	file := writeConfig(t, "Caddyfile", adminSite)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "key_prefix acme", "admin_key {env.TEST_ADMIN_KEY}", 1))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := OpenGateway(t.Context(), file, "caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	access, ok, err := g.Accepts(t.Context(), "a-configured-admin-key")
	if access != "write" || !ok || err != nil {
		t.Errorf("got %q, %v, %v", access, ok, err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

func TestConfigurationsThatDescribeNoGatewayAreRefusedWithoutMakingAStore(t *testing.T) {
	for name, c := range map[string]struct{ file, adapter, text, says string }{
		"no admin site":        {"Caddyfile", "", "http://localhost:1 {\n\trespond ok\n}\n", "api_key_admin"},
		"faulty Caddyfile":     {"Caddyfile", "", "localhost {\n", "Caddyfile:"},
		"faulty option":        {"Caddyfile", "", "http://localhost:1 {\n\tapi_key_admin nope\n}\n", "nope"},
		"unknown adapter":      {"keys.conf", "nginx", "", `no config adapter is named "nginx"`},
		"no adapter":           {"keys.conf", "", "", "is not JSON; name its config adapter"},
		"JSON is no Caddyfile": {"Caddyfile.json", "", "", "is not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			file := writeConfig(t, c.file, c.text)
			if _, err := OpenGateway(t.Context(), file, c.adapter); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), "keys.db")); !os.IsNotExist(err) {
				t.Errorf("a store was made: %v", err)
			}
		})
	}
	if _, err := OpenGateway(t.Context(), filepath.Join(t.TempDir(), "none"), ""); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
}
