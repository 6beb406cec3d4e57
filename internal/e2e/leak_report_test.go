package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// gitHubKeys writes a file as GitHub answers it, and returns what signs.
func gitHubKeys(t *testing.T, file string) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"public_keys": []map[string]any{{
		"key_identifier": "one", "is_current": true,
		"key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return key
}

// Whoever finds a secret can have it ended, without any key; GitHub says so in
// a form of its own, and signs it.
func TestReportedSecretsAreRefused(t *testing.T) {
	dir := t.TempDir()
	signing := gitHubKeys(t, filepath.Join(dir, "github.json"))
	config := strings.Replace(caddyfile, "\tapi_key_admin\n", "\tapi_key_admin {\n\t\tleaks {\n\t\t\tgithub_keys ./github.json\n\t\t}\n\t}\n", 1)
	if config == caddyfile {
		t.Fatal("the configuration has no api_key_admin to change")
	}
	upstream := NewUpstream(t)
	g := Start(t, Options{Config: config, Dir: dir, Upstream: upstream.Address})
	found, alerted, other := g.Create(nil), g.Create(nil), g.Create(nil)
	for _, key := range []Key{found, alerted, other} {
		Expect(t, g.use(key.Secret), http.StatusOK, "")
	}
	post := func(path, body string, headers ...Header) Answer {
		t.Helper()
		answer, err := g.do("POST", g.AdminURL+path, body, append(headers, Header{"Content-Type", "application/json"}))
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	Expect(t, post("/v1/leaks", `{"secret":"`+found.Secret+`","source":"a friend","url":"https://paste.example/1"}`), http.StatusAccepted, "")
	Expect(t, g.use(found.Secret), http.StatusUnauthorized, "disabled_key")

	body := `[{"token":"` + alerted.Secret + `","type":"acme_key","url":"https://github.com/a/b","source":"content"}]`
	digest := sha256.Sum256([]byte(body))
	raw, err := ecdsa.SignASN1(rand.Reader, signing, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	by := []Header{{"GITHUB-PUBLIC-KEY-IDENTIFIER", "one"}, {"GITHUB-PUBLIC-KEY-SIGNATURE", base64.StdEncoding.EncodeToString(raw)}}
	Expect(t, post("/v1/leaks/github", strings.Replace(body, alerted.Secret, other.Secret, 1), by...), http.StatusForbidden, "bad_signature")
	Expect(t, post("/v1/leaks/github", body, by...), http.StatusOK, "")
	Expect(t, g.use(alerted.Secret), http.StatusUnauthorized, "disabled_key")
	Expect(t, g.use(other.Secret), http.StatusOK, "")
}
