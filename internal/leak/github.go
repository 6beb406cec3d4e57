package leak

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
)

// GitHub is the keys with which GitHub signs the alerts of secret scanning, by
// their identifiers (docs.github.com, "Secret scanning partner program").
type GitHub map[string]*ecdsa.PublicKey

// ParseGitHub reads what https://api.github.com/meta/public_keys/secret_scanning
// answers.
func ParseGitHub(text []byte) (GitHub, error) {
	var answer struct {
		Keys []struct {
			ID  string `json:"key_identifier"`
			Key string `json:"key"`
		} `json:"public_keys"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("reading GitHub's public keys: %w", err)
	}
	if len(answer.Keys) == 0 {
		return nil, errors.New(`reading GitHub's public keys: found none; expected {"public_keys": [{"key_identifier": …, "key": …}]}`)
	}
	all := GitHub{}
	for i, one := range answer.Keys {
		key, err := parsePublic(one.Key)
		if err != nil {
			return nil, fmt.Errorf("reading GitHub's public key %d: %w", i+1, err)
		}
		if one.ID == "" || all[one.ID] != nil {
			return nil, fmt.Errorf("reading GitHub's public key %d: expected a key_identifier of its own", i+1)
		}
		all[one.ID] = key
	}
	return all, nil
}

func parsePublic(text string) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("expected a PUBLIC KEY in PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("expected a public key: %w", err)
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, errors.New("expected a key for ECDSA on P-256")
	}
	return public, nil
}

// Verify returns nil if the body was signed with the key of that identifier;
// signature is ECDSA over SHA-256, in ASN.1 and base64.
func (g GitHub) Verify(body []byte, id, signature string) error {
	key := g[id]
	if key == nil {
		return errors.New("the key is none of GitHub's that are known here")
	}
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return errors.New("the signature is not base64")
	}
	digest := sha256.Sum256(body)
	if !ecdsa.VerifyASN1(key, digest[:], raw) {
		return errors.New("the signature is not that of the body")
	}
	return nil
}
