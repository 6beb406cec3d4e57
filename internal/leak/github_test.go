package leak

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
)

func pemOf(t *testing.T, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func newKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// answer is what GitHub's address answers for keys with identifiers.
func answer(t *testing.T, idsAndKeys ...string) []byte {
	t.Helper()
	list := []map[string]any{}
	for i := 0; i < len(idsAndKeys); i += 2 {
		list = append(list, map[string]any{"key_identifier": idsAndKeys[i], "key": idsAndKeys[i+1], "is_current": i == 0})
	}
	text, err := json.Marshal(map[string]any{"public_keys": list})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOnlyGitHubsSignatureOfTheBodyIsVerified(t *testing.T) {
	key, other := newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	known, err := ParseGitHub(answer(t, "one", pemOf(t, &key.PublicKey), "two", pemOf(t, &other.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`[{"token":"x","type":"y"}]`)
	digest := sha256.Sum256(body)
	raw, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := base64.StdEncoding.EncodeToString(raw)
	for _, c := range []struct {
		name, body, id, signature string
		fine                      bool
	}{
		{"as it is", string(body), "one", signature, true},
		{"another body", string(body) + " ", "one", signature, false},
		{"no body", "", "one", signature, false},
		{"another key", string(body), "two", signature, false},
		{"an unknown key", string(body), "three", signature, false},
		{"no key", string(body), "", signature, false},
		{"no signature", string(body), "one", "", false},
		{"no base64", string(body), "one", "!", false},
		{"half a signature", string(body), "one", signature[:len(signature)/2/4*4], false},
		{"a huge signature", string(body), "one", strings.Repeat("A", 1<<20), false},
	} {
		if err := known.Verify([]byte(c.body), c.id, c.signature); (err == nil) != c.fine {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestWhatIsNoListOfGitHubsKeysIsRefused(t *testing.T) {
	fine := pemOf(t, &newKey(t, elliptic.P256()).PublicKey)
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"empty":               nil,
		"a page":              []byte("<html>"),
		"no list":             []byte(`{"message": "API rate limit exceeded"}`),
		"an empty list":       answer(t),
		"no identifier":       answer(t, "", fine),
		"an identifier twice": answer(t, "a", fine, "a", fine),
		"no PEM":              answer(t, "a", "key"),
		"no key":              answer(t, "a", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
		"another curve":       answer(t, "a", pemOf(t, &newKey(t, elliptic.P384()).PublicKey)),
		"another kind":        answer(t, "a", pemOf(t, edwards)),
		"one of two":          answer(t, "a", fine, "b", "key"),
	} {
		if known, err := ParseGitHub(text); err == nil || known != nil {
			t.Errorf("%s: %v was accepted", name, known)
		}
	}
}
